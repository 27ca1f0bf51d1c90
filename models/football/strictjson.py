"""JSON to the letter: whatever Python's reader would take in silence is refused with its line."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from football.errors import BadInputError, invisible, one_line, shown
from football.textfile import line_of

_MOST_DEPTH = 20
_LONGEST_NUMBER = 400
_LARGEST_WHOLE = 2**63
_TOKEN = re.compile(
    r"""
    (?P<string>"(?:[^"\\]|\\.)*") \s* (?P<colon>:)?
    | (?P<number>-?[0-9][0-9.eE+-]*)
    | (?P<constant>NaN|-?Infinity)
    | (?P<opening>[\[{])
    | (?P<closing>[\]}])
    """,
    re.VERBOSE | re.DOTALL,
)


def loads(text: str, name: str) -> Any:
    """Parse JSON.

    Parameters
    ----------
    text
        The content of the file.
    name
        The file, for messages.

    Raises
    ------
    BadInputError
        If it is not valid JSON, is nested too deeply, or holds a key twice in an object, a number
        that cannot be kept, or a character that no text may hold.
    """
    try:
        content = json.loads(text, parse_int=_whole)
    except json.JSONDecodeError as error:
        place, reason = error.pos, f"not valid JSON: {_reason(error)}"
        raise BadInputError(f"{name}, {_position(text, place)}: {reason}") from None
    except RecursionError:
        content = None
    _check_tokens(text, name)
    return content


def _whole(digits: str) -> float:
    """Read a whole number; Python refuses to read very long ones, which are refused here."""
    return int(digits) if len(digits) < _LONGEST_NUMBER else math.inf


def _check_tokens(text: str, name: str) -> None:
    """Refuse what Python's reader takes; the text is valid JSON, or nested too deeply."""
    keys: list[set[str]] = []
    for token in _TOKEN.finditer(text):
        reason = None
        if token["opening"]:
            keys.append(set())
            if len(keys) > _MOST_DEPTH:
                reason = f"nested more than {_MOST_DEPTH} levels deep. Flatten it"
        elif token["closing"]:
            keys.pop()
        elif token["number"]:
            reason = _wrong_number(token["number"])
        elif token["constant"]:
            reason = f"{token['constant']} is not valid JSON. Write a finite number"
        else:
            reason = _wrong_text(json.loads(token["string"]), keys[-1] if token["colon"] else None)
        if reason:
            raise BadInputError(f"{name}, {_position(text, token.start())}: {reason}")


def _wrong_text(string: str, names: set[str] | None) -> str | None:
    """Return the mistake in a text, if any; `names` are those before it, if it is a name."""
    if found := invisible(string, "\t\n\r"):
        return f"{shown(string)} holds {found}. Remove it"
    if names is not None:
        if string in names:
            return f"duplicate key {shown(string)}. Remove one"
        names.add(string)
    return None


def _wrong_number(text: str) -> str | None:
    """Return the mistake in a number, if any."""
    number = float(text)
    whole = text.lstrip("-").isdigit()
    if math.isinf(number) or (whole and abs(_whole(text)) >= _LARGEST_WHOLE):
        return f"the number {one_line(text, 40)} is too large. Write a smaller one"
    if not number and re.search("[1-9]", re.split("[eE]", text)[0]):
        return f"the number {one_line(text, 40)} is too small to differ from 0. Write 0"
    return None


_MISSING = "a value or name is missing. Remove the comma, or add what is missing"
_SYNTAX = (
    (r"\0\Z", "the file is empty. Write one JSON object; models/README.md shows one"),
    (r".*\0\s*(#|//|/\*)", "a comment. Remove it"),
    (r".*[,\[{:]\s*\0\s*[}\],]", _MISSING),
    (r".*\0\s*['\u2018\u2019\u201c\u201d]", 'texts need straight double quotes ("). Replace them'),
    (r".*\0\s*\Z", "it ends too early. Add what is missing"),
)
_MESSAGES = {
    # Python says so since 3.13.
    "Illegal trailing comma": _MISSING,
    "Extra data": "text follows the end of the object. Remove it",
    "Invalid control character": r"a line break or tab in a text. Write \n or \t",
    "Invalid \\escape": r"a backslash in a text. Double it (\\)",
    "Unterminated string": "a text does not end. Close the quote",
}


def _reason(error: json.JSONDecodeError) -> str:
    """Return the mistake in the syntax, with the cure where it is known."""
    said = next((text for part, text in _MESSAGES.items() if error.msg.startswith(part)), None)
    if said:
        return said
    # The place of the error, and what is around it.
    around = f"{error.doc[: error.pos].rstrip()[-1:]}\0{error.doc[error.pos :].lstrip()[:2]}"
    found = (text for around_it, text in _SYNTAX if re.match(around_it, around, re.DOTALL))
    return next(found, f"{error.msg.lower()}. Correct it")


def _position(text: str, place: int) -> str:
    line = line_of(text, place)
    start = max(text.rfind("\n", 0, place), text.rfind("\r", 0, place)) + 1
    return f"line {line}, column {place - start + 1}"
