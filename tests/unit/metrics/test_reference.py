"""docs/reference/metrics.md has each family that the function writes."""

from __future__ import annotations

import inspect
import re

import exposition
from naming import OWN_PREFIX

from tests.conftest import ROOT

PAGE = (ROOT / "docs/reference/metrics.md").read_text()
ROW = re.compile(r"^\| `(\S+)` \| (\w+) \| .* \| (\w+) \| .+ \|$", re.MULTILINE)


def test_metrics_page_has_each_family_of_the_function() -> None:
    source = inspect.getsource(exposition)
    named = set(re.findall(r'writer\.gauge\(\s*"(\w+)"', source))
    named |= set(re.findall(r'"(run_\w+)"', source))
    named |= set(re.findall(r'f"\{OWN_PREFIX\}(\w+)"', source))
    named |= set(exposition._COUNTED)

    assert len(named) == 18
    assert {name for name, _, _ in ROW.findall(PAGE)} == {
        "mlflow_<name>",
        *(OWN_PREFIX + name for name in named),
    }


def test_metrics_page_has_a_type_and_a_stability_for_each_family() -> None:
    rows = ROW.findall(PAGE)

    assert len(rows) == PAGE.count("\n| `")
    assert {kind for _, kind, _ in rows} == {"gauge", "info"}
    assert {stability for _, _, stability in rows} == {"stable", "experimental"}
