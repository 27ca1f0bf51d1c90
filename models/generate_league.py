"""Write the table of a simulated league; football/league.py states the law that it follows."""

from __future__ import annotations

import argparse
from pathlib import Path

from football import league


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seasons", type=int, default=5, help="how many (default: %(default)s)")
    parser.add_argument("--teams", type=int, default=20, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=2026, help="(default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).resolve().parent / "data/partidos.csv"
    )
    options = parser.parse_args()
    if options.teams < 2 or options.teams % 2:  # noqa: PLR2004 -- a match takes two
        parser.error(f"{options.teams} teams cannot pair up: take an even number")
    matches = league.play(options.seasons, options.teams, options.seed)
    print(f"{league.write(matches, options.output)} matches in {options.output}")


if __name__ == "__main__":
    main()
