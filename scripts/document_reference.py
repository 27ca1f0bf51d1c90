"""Write the pages of docs/reference/ from the code; with --check only compare."""

from __future__ import annotations

import sys
from pathlib import Path

import reference_make
import reference_metrics
import reference_modules

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"


def main() -> int:
    """Write or compare; return the exit code."""
    pages = {
        "make.md": reference_make.page(),
        "metrics.md": reference_metrics.page(),
        "modules.md": reference_modules.page(),
    }
    if "--check" in sys.argv[1:]:
        paths = {name: FOLDER / name for name in pages}
        stale = [
            name
            for name, path in paths.items()
            if not path.is_file() or path.read_text() != pages[name]
        ]
        for name in stale:
            print(f"docs/reference/{name} differs from the code: run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages.items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
