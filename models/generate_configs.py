"""Write a config for every combination of a grid; football/grid.py states what a grid holds."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from football import grid
from football.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIGS = Path(__file__).resolve().parent / "configs"
BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "grid", type=Path, nargs="?", default=CONFIGS / "grid.yml", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--output", type=Path, default=CONFIGS / "grid", help="directory (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        paths = grid.write(grid.load(options.grid), options.output)
    except BadInputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    print(f"{len(paths)} configs in {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
