"""Pages are readable as text: no long line outside of tables, code and headings."""

from __future__ import annotations

import subprocess

import pytest

from tests.conftest import ROOT

LONGEST = 140
PAGES = subprocess.run(
    ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
    check=True,
    capture_output=True,
    text=True,
).stdout.split()
# Written from descriptions of variables and modules, and from entries that are one line each.
GENERATED = ("docs/variables.md", "docs/reference/", "CHANGELOG.md", "docs/iam/mutations.md")


@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith(GENERATED)])
def test_page_has_no_long_line(page: str) -> None:
    if not (ROOT / page).is_file() or (ROOT / page).is_symlink():
        pytest.skip("a link, or deleted and not committed yet")
    code = False
    long = []
    for number, line in enumerate((ROOT / page).read_text().splitlines(), 1):
        code ^= line.lstrip().startswith("```")
        row = line.lstrip().startswith(("|", "#", "[!", "!["))
        if len(line) > LONGEST and not code and not row:
            long.append(number)

    assert long == []
