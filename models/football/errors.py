"""What a user can put right."""

from __future__ import annotations


class BadInputError(Exception):
    """Something that was given cannot be used; the message says what to do."""


class TrainingError(Exception):
    """The training broke after its run had begun; the run says why."""
