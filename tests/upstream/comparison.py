"""Compare the outcomes of MLflow's tests with two servers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass
class Comparison:
    """Tests by what became of them.

    Attributes
    ----------
    both, neither
        They passed, or did not pass, with both servers.
    ours_only, stock_only
        They passed with one server only.
    listed
        Those of `stock_only` for which a reason is known.
    """

    both: list[str] = field(default_factory=list)
    neither: list[str] = field(default_factory=list)
    ours_only: list[str] = field(default_factory=list)
    stock_only: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)

    @property
    def unlisted(self) -> list[str]:
        """Tests that pass with stock MLflow only, without a known reason."""
        return [test for test in self.stock_only if test not in self.listed]


def read(path: Path) -> dict[str, str]:
    """Return the outcome of each test of a file of lines; a failed part is the test's outcome."""
    outcomes: dict[str, str] = {}
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        test, outcome = entry["test"], entry["outcome"]
        known = outcomes.get(test, PASSED)
        outcomes[test] = max(known, outcome, key=(PASSED, SKIPPED, FAILED).index)
    return outcomes


def compare(
    stock: Mapping[str, str], ours: Mapping[str, str], reasons: Mapping[str, str]
) -> Comparison:
    """Compare outcomes; a test that one server lacks has not passed there."""
    found = Comparison()
    for test in sorted({*stock, *ours}):
        with_stock, with_ours = stock.get(test), ours.get(test)
        if SKIPPED in {with_stock, with_ours} and with_stock == with_ours:
            continue
        place = {
            (True, True): found.both,
            (False, False): found.neither,
            (True, False): found.stock_only,
            (False, True): found.ours_only,
        }[with_stock == PASSED, with_ours == PASSED]
        place.append(test)
    found.listed = [test for test in found.stock_only if test in reasons]
    return found
