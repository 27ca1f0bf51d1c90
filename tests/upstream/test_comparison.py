"""The comparison of MLflow's tests finds each kind of difference."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .comparison import compare, read

if TYPE_CHECKING:
    from pathlib import Path


def test_failed_part_is_the_outcome_of_a_test(tmp_path: Path) -> None:
    parts = [
        ("good", "passed"),
        ("good", "passed"),
        ("bad", "passed"),
        ("bad", "failed"),
        ("bad", "passed"),
        ("left out", "skipped"),
        ("left out", "passed"),
    ]
    path = tmp_path / "outcomes"
    path.write_text(
        "".join(f"{json.dumps({'test': test, 'outcome': outcome})}\n" for test, outcome in parts)
    )

    assert read(path) == {"good": "passed", "bad": "failed", "left out": "skipped"}


def test_tests_are_sorted_by_what_became_of_them() -> None:
    stock = {"a": "passed", "b": "passed", "c": "passed", "d": "failed", "e": "failed"}
    ours = {"a": "passed", "b": "failed", "c": "failed", "d": "passed", "e": "failed"}

    found = compare(stock, ours, {"b": "known"})

    assert found.both == ["a"]
    assert found.stock_only == ["b", "c"]
    assert found.listed == ["b"]
    assert found.unlisted == ["c"]
    assert found.ours_only == ["d"]
    assert found.neither == ["e"]


def test_test_that_did_not_run_with_ours_is_a_difference() -> None:
    found = compare({"a": "passed", "b": "passed"}, {"b": "skipped"}, {})

    assert found.unlisted == ["a", "b"]


def test_test_that_both_skip_is_left_out() -> None:
    found = compare({"a": "skipped"}, {"a": "skipped"}, {})

    assert found.both == []
    assert found.neither == []
