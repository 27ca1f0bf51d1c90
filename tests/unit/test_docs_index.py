"""docs/README.md and docs/decisions/README.md lead to each page, and decisions have one form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DOCS = ROOT / "docs"
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))
HEADINGS = ["Decision", "Reason", "Evidence", "Consequences"]
LINE = re.compile(r"^\| (\d{4}) \| \[(.+)\]\((.+)\) \| (\d{4}-\d\d-\d\d) \|$", re.MULTILINE)


def linked_pages(page: Path) -> set[Path]:
    """Return the files to which a page links."""
    links = re.findall(r"\]\(([^)#:]+)[^)]*\)", page.read_text())
    return {(page.parent / link).resolve() for link in links}


def test_index_of_docs_names_each_page() -> None:
    pages = {page for page in DOCS.rglob("*.md") if page.name != "README.md"}
    indexed = linked_pages(DOCS / "README.md")

    assert pages - set(DECISIONS) - indexed == set()
    assert DOCS / "decisions/README.md" in indexed


def test_index_of_decisions_has_title_and_date_of_each_page() -> None:
    listed = sorted(LINE.findall((DOCS / "decisions/README.md").read_text()))
    pages = []
    for page in DECISIONS:
        title, date = re.findall(r"\A# (.+)\n\nDate: (\S+)\n", page.read_text())[0]
        number, text = title.split(". ", 1)
        pages.append((number, text, page.name, date))

    assert listed == pages


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [page.name[:4] for page in DECISIONS]

    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]


def test_decision_has_each_heading_with_a_text() -> None:
    for page in DECISIONS:
        sections = re.findall(r"^## (.+)\n\n(.+)", page.read_text(), re.MULTILINE)

        assert [heading for heading, _ in sections] == HEADINGS, page.name
