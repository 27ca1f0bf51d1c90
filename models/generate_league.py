"""Write the table of a simulated league; football/league.py describes its distributions."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from football import league
from football.errors import why

if TYPE_CHECKING:
    from collections.abc import Sequence

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seasons", type=int, default=5, help="how many (default: %(default)s)")
    parser.add_argument("--teams", type=int, default=20, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=2026, help="(default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).resolve().parent / "data/partidos.csv"
    )
    options = parser.parse_args(arguments)
    if options.teams < 2 or options.teams % 2:  # noqa: PLR2004 -- a match takes two
        parser.error(f"--teams: {options.teams} teams cannot pair up. Give an even number from 2")
    if options.seasons < 1:
        parser.error(f"--seasons: {options.seasons} is not valid. Give a number from 1")
    matches = league.play(options.seasons, options.teams, options.seed)
    try:
        count = league.write(matches, options.output)
    except (OSError, ValueError) as error:
        print(
            f"error: --output: {options.output} cannot be written: {why(error)}. Name another file",
            file=sys.stderr,
        )
        return BAD_INPUT
    print(f"{count} matches in {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
