"""Compare the FINISHED runs of experiments: a page of HTML, and its charts as PNG files."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from football import tracking
from football.connection import check_server
from football.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "experiments",
        nargs="*",
        metavar="EXPERIMENT",
        help="names, which may hold * (default: all whose runs came from here)",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("report"), help="directory (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        check_server(os.environ)
        tracking.patience(os.environ)
        tracking.configure_mlflow_client()
        from football import reporting  # noqa: PLC0415 -- takes seconds

        runs = reporting.collect(options.experiments)
        path = reporting.write(runs, options.output)
    except BadInputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    print(f"{len(runs)} run{'s' if len(runs) != 1 else ''} in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
