"""The error that a person is meant to read."""

from __future__ import annotations


class LocalAwsError(Exception):
    """An error that a person can fix; the message says what and how."""
