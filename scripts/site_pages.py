"""Copy all pages of the repository, and the files to which they link, into a folder: FOLDER.

A documentation site is built from one folder, but the pages of this repository are beside what they
describe. The copies keep their paths of the repository, so a relative link works in both places.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
# Pages that only the host of the repository reads.
LEFT_OUT = re.compile(r"(^|/)\.")


def pages() -> list[str]:
    """Return the paths of all pages that Git has, or would add, except links to pages."""
    # Root may build the site of another's clone.
    git = ["git", "-c", f"safe.directory={ROOT}"]
    listed = subprocess.run(
        [*git, "ls-files", "--cached", "--others", "--exclude-standard", "--", "*.md"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = listed.stdout.splitlines()
    files = [path for path in paths if (ROOT / path).is_file() and not (ROOT / path).is_symlink()]
    return [path for path in files if not LEFT_OUT.search(path)]


def linked_files(page: str) -> Iterator[str]:
    """Give the paths in the repository of the files to which a page links, images included."""
    for token in MarkdownIt().enable("table").parse((ROOT / page).read_text()):
        for child in token.children or []:
            target = str(child.attrs.get("href") or child.attrs.get("src") or "")
            path = target.partition("#")[0]
            if not path or re.match(r"[a-z]+:", path):
                continue
            file = (ROOT / page).parent.joinpath(path).resolve()
            if file.is_relative_to(ROOT) and file.is_file():
                yield str(file.relative_to(ROOT))


def main() -> None:
    """Make the folder."""
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    found = pages()
    for path in {*found, *(path for page in found for path in linked_files(page))}:
        copy = folder / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, copy)


if __name__ == "__main__":
    main()
