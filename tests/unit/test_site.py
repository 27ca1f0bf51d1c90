"""The documentation site has every page, and its build refuses broken links."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import markdown
import pytest
import yaml
from markdown_it import MarkdownIt

from tests.conftest import ROOT

BIN = Path(sys.executable).parent
TAGS = ("<li", "<table", "<tr", "<a href", "<h2", "<h3", "<img", "<pre")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a folder with the pages, and a configuration like ours that builds them."""
    subprocess.run([sys.executable, ROOT / "scripts/site_pages.py", tmp_path / "pages"], check=True)
    settings = {"INHERIT": str(ROOT / "mkdocs.yml"), "docs_dir": "pages", "site_dir": "site"}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(settings))
    return tmp_path


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a folder."""
    return subprocess.run(
        [BIN / "mkdocs", "build"],
        cwd=folder,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=False,
        text=True,
        capture_output=True,
    )


def test_site_pages_load_nothing_from_other_servers(site: Path) -> None:
    done = build(site)
    pages = [file.read_text() for file in site.glob("site/**/*.html")]

    assert done.returncode == 0, done.stderr
    assert len(pages) > 20
    for page in pages:
        for attribute in ("src=", "rel=stylesheet href=", 'rel="stylesheet" href='):
            assert f'{attribute}"http' not in page
            assert f"{attribute}http" not in page


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[x](upgrad.md)", "upgrad.md"),
        ("[x](upgrade.md#no-such-title)", "no-such-title"),
        ("[x](../roles/mlflow/files)", "../roles/mlflow/files"),
        ("![x](missing.svg)", "missing.svg"),
    ],
)
def test_site_with_a_broken_link_is_refused(site: Path, text: str, named: str) -> None:
    with (site / "pages/docs/runbook.md").open("a") as page:
        page.write(f"\n{text}\n")
    done = build(site)

    assert done.returncode != 0
    assert named in done.stderr


def test_site_with_a_page_outside_the_navigation_is_refused(site: Path) -> None:
    (site / "pages/docs/extra.md").write_text("# Extra\n")
    done = build(site)

    assert done.returncode != 0
    assert "docs/extra.md" in done.stderr


def test_site_pages_have_the_structure_of_the_repository_pages(site: Path) -> None:
    # The site's dialect of Markdown differs in lists without a blank line before them.
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    names = [
        next(iter(it)) if isinstance(it, dict) else it for it in settings["markdown_extensions"]
    ]
    different = []
    for page in sorted((site / "pages").rglob("*.md")):
        there = MarkdownIt().enable("table").render(page.read_text())
        here = markdown.markdown(page.read_text(), extensions=names)
        different += [
            (page.relative_to(site / "pages"), tag)
            for tag in TAGS
            if there.count(tag) != here.count(tag)
        ]

    assert different == []
