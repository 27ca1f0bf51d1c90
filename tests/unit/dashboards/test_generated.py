"""The files of the dashboards are those of the code, and their PromQL is valid."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from dashboards.__main__ import HERE, texts
from tests.conftest import ROOT
from tests.unit.dashboards import queries

if TYPE_CHECKING:
    from pathlib import Path

PAGES = {name: json.loads(text) for name, text in texts().items()}


def test_files_are_those_of_the_code() -> None:
    written = {path.name: path.read_text() for path in (HERE / "generated").iterdir()}

    assert written == texts(), "run: make docs"


@pytest.mark.parametrize("name", sorted(PAGES))
def test_queries_use_the_variables_of_their_dashboard(name: str) -> None:
    page = PAGES[name]
    variables = {variable["name"] for variable in page["templating"]["list"]}
    sources = {panel["datasource"]["uid"] for panel in page["panels"] if "datasource" in panel}

    assert queries.used(json.dumps(page)) <= variables
    assert sources <= {"${prometheus}", "${postgres}"}
    assert len({panel["title"] for panel in page["panels"]}) == len(page["panels"])


@pytest.mark.parametrize("name", sorted(PAGES))
def test_panels_do_not_overlap(name: str) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in PAGES[name]["panels"]:
        place = panel["gridPos"]
        own = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert max(x for x, _ in own) < 24
        assert not own & cells, panel["title"]
        cells |= own


def test_promql_is_valid(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": queries.filled(expression)}
        for number, (_, expression, _) in enumerate(queries.promql(PAGES))
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    checked = subprocess.run(
        ["promtool", "check", "rules", file], capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert len(rules) > 40


def test_provisioning_files_have_the_keys_of_grafana() -> None:
    folder = ROOT / "dashboards/provisioning"
    sources: Any = yaml.safe_load((folder / "datasources/mlflow.yml").read_text())
    providers: Any = yaml.safe_load((folder / "dashboards/mlflow.yml").read_text())

    assert [source["type"] for source in sources["datasources"]] == ["prometheus", "postgres"]
    assert sources["datasources"][1]["jsonData"]["sslmode"] == "verify-full"
    assert providers["providers"][0]["options"]["path"].startswith("/")
