"""The error that a person is meant to read."""

from __future__ import annotations


class LocalAwsError(Exception):
    """Something a person can mend; the message says what and how."""
