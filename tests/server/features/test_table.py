"""docs/features.md names every feature that a release has routes for."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT
from tests.tracking_server import EACH_VERSION
from tests.tracking_server.routes import routes as routes_of

from .test_features import WORKS

TABLE = (ROOT / "docs/features.md").read_text()
ROWS = {
    cells[0]: cells[1:]
    for cells in (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in TABLE.splitlines()
        if line.startswith("| ") and not line.startswith("| feature")
    )
}
# Which feature a path belongs to, without its prefix /api/2.0/mlflow; the first that matches.
FEATURES = {
    r"(genai/evaluate|scorer/invoke|issues/invoke|scorers/online-config|prompt-optimization"
    r"|jobs).*": "Jobs: evaluation, scoring and prompt optimization started in the UI, scheduled"
    " scorers, issue detection",
    r"(gateway-proxy|runs/create-promptlab-run)": "Prompt lab",
    r"assistant.*": "Assistant",
    r"(artifacts|mlflow-artifacts)/(presigned|mpu).*": "Presigned and multipart transfers",
    r"(experiments|runs|metrics|artifacts|mlflow-artifacts|get-artifact|upload-artifact)\b.*"
    "": "Experiments, runs, metrics, artifacts",
    r"logged-models.*": "Logged models",
    r"(registered-models|model-versions).*": "Model registry",
    r"traces/<\w+>/assessments.*": "Feedback and expectations",
    r"traces/link-prompts": "Prompts",
    r"v1/(traces|metrics)": "OpenTelemetry (`/v1/traces`)",
    r"(traces|unified-traces|get-trace-artifact|get-online-trace-details).*": "Traces",
    r"datasets.*": "Datasets for evaluations",
    r"scorers.*": "Registered scorers and judges",
    r"(label-schemas|review-queues).*": "Label schemas and review queues",
    r"issues.*": "Issues of applications",
    r"mcp-servers.*": "MCP registry",
    r"webhooks.*": "Webhooks",
    r"gateway.*": "AI gateway, budgets, guardrails",
    r"workspaces.*": "Workspaces",
    r"demo/.*": "Demo data",
    r"graphql": "GraphQL",
    r"ui-telemetry": "Telemetry of MLflow",
}
# Pages, their files, and what describes the server.
OTHERS = re.compile(
    r"(|health|version|server-info|static-files/.*|build/.*|docs.*|redoc|openapi\.json|metrics"
    r"|static/.*)"
)
PREFIX = re.compile(r"^/(?:(?:ajax-)?api/\d\.\d/?(?:mlflow/)?)?")


@pytest.mark.parametrize("version", EACH_VERSION)
def test_every_route_of_a_release_belongs_to_a_feature(version: str) -> None:
    routes = sorted({PREFIX.sub("", path).strip("/") for _, path in routes_of(version)})
    assert len(routes) > 150
    known = re.compile("|".join(f"(?:{pattern})" for pattern in FEATURES))
    assert (
        sorted({one for one in routes if not (known.fullmatch(one) or OTHERS.fullmatch(one))}) == []
    )


def test_every_feature_with_routes_is_in_the_table() -> None:
    assert set(FEATURES.values()) - set(ROWS) == set()


def test_table_names_the_test_of_each_feature() -> None:
    assert {state for state, *_ in ROWS.values()} == {"works", "off", "not offered"}
    named = " ".join(test for *_, test in ROWS.values())
    tests = (ROOT / "tests/server/features/test_features.py").read_text()
    for name in re.findall(r"`(test_\w+)`", named):
        assert f"def {name}(" in tests, name
    for path in re.findall(r"`((?:tests|roles)/[\w/.]+)`", named):
        assert (ROOT / path).exists(), path
    assert set(re.findall(r"`([a-z_]+)`", named)) - {"gateway"} - set(
        re.findall(r"`(test_\w+)`", named)
    ) == set(WORKS)


def test_variables_of_the_table_are_the_roles_own() -> None:
    switched = r"(?!.*`mlflow_(?:features|allowed_destinations))"
    assert re.findall(rf"^\| .*\| off \|{switched}", TABLE, re.MULTILINE) == []
