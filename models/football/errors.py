"""Errors that a user can fix, and how their messages show values."""

from __future__ import annotations

import json
import unicodedata


class BadInputError(Exception):
    """Something that was given cannot be used; the message says what to do."""


class TrainingError(Exception):
    """The training broke after its run had begun; the run says why."""


def why(error: BaseException) -> str:
    """Return what an error of the system says, in a line and without the path."""
    return one_line(getattr(error, "strerror", None) or str(error) or type(error).__name__, 150)


def one_line(text: str, most: int = 300) -> str:
    """Return text for a line of a message: without line breaks and other invisible characters.

    Parameters
    ----------
    text
        Any text.
    most
        The number of characters after which it is cut.
    """
    line = " ".join(text.split())
    line = line if len(line) <= most else f"{line[:most]}…"
    return "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}" for character in line
    )


def shown(value: object, most: int = 80) -> str:
    """Return a value as JSON writes it, shortened, for a line of a message."""
    return one_line(json.dumps(value, ensure_ascii=False, default=str), most)


def quoted(text: str, most: int = 80) -> str:
    """Return text in single quotes, shortened, for a line of a message."""
    return one_line(repr(text), most)


def invisible(text: str, allowed: str = "") -> str | None:
    """Name the first character that no name or text may hold; None if there is none.

    Parameters
    ----------
    text
        A text of a config or table.
    allowed
        Control characters that may be in it.
    """
    for character in text:
        if character in allowed:
            continue
        category = unicodedata.category(character)
        if category in {"Cc", "Cs", "Zl", "Zp"}:
            kind = "half of a surrogate pair" if category == "Cs" else "control character"
            return f"the {kind} U+{ord(character):04X}"
    return None
