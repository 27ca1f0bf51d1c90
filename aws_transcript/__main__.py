"""Command line: ``python -m aws_transcript replay FILE``, ``… report FILE``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aws_transcript import recording, report, transcript
from aws_transcript.replay import Outcome, Target, compare, replay
from local_aws import service
from local_aws.errors import LocalAwsError
from local_aws.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "report":
            return _report(options.transcript, options.output)
        return _replay(options.transcript, options.against, options.wait)
    except (transcript.TranscriptError, LocalAwsError) as error:
        print(error, file=sys.stderr)
        return 2


def _report(file: Path | None, output: Path) -> int:
    recorded = file or os.environ.get(recording.VARIABLE)
    if not recorded:
        raise transcript.TranscriptError(
            f"{recording.VARIABLE}: it is not set. Record a run and name its file: "
            f"{recording.VARIABLE}=run.jsonl make aws-report"
        )
    archive = report.pack(Path(recorded), output)
    print(report.summary(archive))
    return 0


def _replay(file: Path, other: Path | None, wait_seconds: float) -> int:
    calls = transcript.read(file).calls
    if other is not None:
        outcome = compare(calls, transcript.read(other).calls)
    else:
        settings = Settings.from_environment()
        if service.health(settings) is None:
            raise LocalAwsError(
                f"LOCAL_AWS_PORT: {settings.port} is not a running local AWS. "
                "Start it: .venv/bin/python -m local_aws start"
            )
        outcome = replay(calls, Target(settings), wait_seconds)
    _print(outcome)
    return 1 if outcome.differences else 0


def _print(outcome: Outcome) -> None:
    for line in outcome.differences:
        print(line)
    for line in outcome.not_replayed:
        print(f"not replayed: {line}")
    print(
        f"{outcome.calls} calls compared, {len(outcome.differences)} differences, "
        f"{len(outcome.not_replayed)} not replayed"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m aws_transcript", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "replay",
        help="repeat the calls on local AWS and print each difference "
        "(exit status 0 without, 1 with differences, 2 when nothing could be compared)",
    )
    command.add_argument("transcript", type=Path, metavar="TRANSCRIPT")
    command.add_argument(
        "--against", type=Path, metavar="TRANSCRIPT", help="compare with this one instead"
    )
    command.add_argument(
        "--wait",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long a call is repeated that the recorded run had to repeat (default: 60)",
    )
    command = commands.add_parser("report", help="pack a transcript with versions and errors")
    command.add_argument(
        "transcript",
        type=Path,
        nargs="?",
        metavar="TRANSCRIPT",
        help=f"default: the file that {recording.VARIABLE} names",
    )
    command.add_argument("--output", type=Path, default=Path("aws-report.tar.gz"), metavar="FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
