"""docs/security.md names a test for each advisory, and each of them exists."""

from __future__ import annotations

import re

from tests.conftest import ROOT

PAGE = (ROOT / "docs/security.md").read_text()
ADVISORY = re.compile(r"CVE-\d{4}-\d+|GHSA(?:-[a-z0-9]{4}){3}")
# Columns: advisories, others, test.
ROWS = re.findall(r"(?m)^\| ((?:CVE|GHSA)-[^|]+) \|.*\| `(\w+)` \|$", PAGE)
FOLDERS = ("tests/server", "tests/unit/tls_proxy")


def all_tests() -> dict[str, str]:
    """Return the text of each test by its name."""
    found = {}
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("test_*.py")):
            for part in re.split(r"(?m)^(?=def |@|class )", file.read_text()):
                if match := re.match(r"def (test_\w+)", part):
                    found[match[1]] = part
    return found


def test_advisory_has_a_test_that_exists() -> None:
    known = all_tests()

    assert len(ROWS) > 40
    assert [test for _, test in ROWS if test not in known] == []


def test_advisory_that_a_test_names_is_in_the_table() -> None:
    listed = {advisory for row, _ in ROWS for advisory in ADVISORY.findall(row)}
    named = {
        advisory
        for text in all_tests().values()
        for advisory in ADVISORY.findall(text)
        # Of other products and of years before the table.
        if not advisory.startswith(("CVE-2023", "GHSA-2wqp"))
    }

    assert named - listed == set()


def test_advisory_is_listed_once() -> None:
    listed = [advisory for row, _ in ROWS for advisory in ADVISORY.findall(row)]

    assert sorted(listed) == sorted(set(listed))
