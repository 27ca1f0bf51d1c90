"""Reads a transcript."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aws_transcript.recording import FORMAT

if TYPE_CHECKING:
    from pathlib import Path


class TranscriptError(Exception):
    """A transcript cannot be used; the message says why, and the cure."""


@dataclass(frozen=True)
class Call:
    """A call to AWS.

    Attributes
    ----------
    line
        Where it is in the transcript, from 1.
    error
        The code of the error, or None for an answer.
    """

    line: int
    service: str
    operation: str
    region: str | None
    parameters: dict[str, Any]
    status: int | None
    answer: dict[str, Any] | None
    error: str | None

    @property
    def name(self) -> str:
        """Service and operation."""
        return f"{self.service}:{self.operation}"


@dataclass(frozen=True)
class Transcript:
    """Calls and events in the order in which they are recorded."""

    calls: list[Call] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)


def read(file: Path) -> Transcript:
    """Read a file.

    Raises
    ------
    TranscriptError
        When it is missing, empty, or not of this format.
    """
    transcript = Transcript()
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise TranscriptError(
            f"transcript: {file} is not a valid transcript: {reason}. "
            "Record a run first: AWS_TRANSCRIPT=run.jsonl .venv/bin/ansible-playbook …"
        ) from error
    for number, line in enumerate(lines, 1):
        entry = _entry(file, number, line)
        if "event" in entry:
            transcript.events.append(entry)
        else:
            transcript.calls.append(_call(file, number, entry))
    if not transcript.calls:
        raise TranscriptError(
            f"transcript: {file} is not a valid transcript: it holds no call to AWS. Record a run "
            "with the programs of the virtual environment (`make setup` makes it)."
        )
    return transcript


def _entry(file: Path, number: int, line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise _invalid(file, number, f"it is not JSON: {error}") from error
    if not isinstance(entry, dict) or entry.get("format") != FORMAT:
        raise _invalid(file, number, f"member `format` must be {FORMAT}")
    return entry


def _call(file: Path, number: int, entry: dict[str, Any]) -> Call:
    try:
        return Call(
            number,
            entry["service"],
            entry["operation"],
            entry["region"],
            entry["parameters"],
            entry["status"],
            entry.get("answer"),
            entry["error"]["code"] if "error" in entry else None,
        )
    except (KeyError, TypeError) as error:
        raise _invalid(file, number, f"a call without member {error}") from error


def _invalid(file: Path, number: int, constraint: str) -> TranscriptError:
    return TranscriptError(
        f"transcript: line {number} of {file} is not a valid entry: {constraint}. "
        "See docs/transcripts.md, or record the run again."
    )
