from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.tracking_server import basic, environment

from .conftest import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Tracking

REFUSED = "This user may only read"
WRITING = {"POST", "PUT", "PATCH", "DELETE"}
# The routes of this MLflow, its login's included, as METHOD path.
ROUTES = """
import json, os, re
os.environ["_MLFLOW_SGI_NAME"] = "gunicorn"
from mlflow.server import app
from mlflow.server.auth import routes
from mlflow.server.fastapi_app import create_fastapi_app
rules = [(m, r.rule) for r in app.url_map.iter_rules() for m in r.methods]
rules += [
    (m, r.path) for r in create_fastapi_app(app).routes for m in getattr(r, "methods", None) or ()
]
print(json.dumps(sorted({(m, re.sub("[<{][^>}]*[>}]", "1", p)) for m, p in rules})))
"""
READS = (
    "/search", "/search-datasets", "/graphql", "/get-latest-versions", "/presigned-download-url",
    "/batchGetInfos", "/calculate-filter-correlation", "/traces/metrics",
)  # fmt: skip
READING = [
    ("experiments/search", {"max_results": 1}),
    ("runs/search", {"experiment_ids": ["0"]}),
    ("logged-models/search", {"experiment_ids": ["0"]}),
]


@pytest.fixture
def reader(tracking: Tracking) -> Iterator[str]:
    tracking.module("mlflow_user", name="grafana", password=PASSWORD)
    tracking.read_only("somebody", "grafana")
    yield "grafana"
    tracking.read_only()


@pytest.fixture(scope="module")
def routes() -> list[tuple[str, str]]:
    done = subprocess.run([environment(), "-c", ROUTES], capture_output=True, text=True, check=True)
    return [(method, path) for method, path in json.loads(done.stdout.splitlines()[-1])]


def test_reader_is_refused_every_way_of_writing(
    tracking: Tracking, reader: str, routes: list[tuple[str, str]]
) -> None:
    session = tracking.server.session(basic(reader, PASSWORD))
    statuses: dict[tuple[str, str], str] = {}
    for method, path in routes:
        if method in WRITING:
            answer = session.request(method, f"{tracking.server.url}{path}", json={"name": "x"})
            statuses[method, path] = answer.text if answer.status_code == 403 else ""
    allowed = sorted({path for (_, path), text in statuses.items() if text != REFUSED})

    assert len(statuses) > 200
    # What is not refused reads, or is open to nobody.
    assert [path for path in allowed if not path.endswith(READS)] == []


@pytest.mark.parametrize(("path", "body"), READING)
def test_reader_reads(tracking: Tracking, reader: str, path: str, body: dict[str, Any]) -> None:
    assert tracking.call(reader, "POST", f"2.0/mlflow/{path}", **body).status_code == 200
    answer = tracking.call(reader, "GET", "2.0/mlflow/experiments/get?experiment_id=0")
    assert answer.status_code == 200


def test_reader_uploads_nothing(tracking: Tracking, reader: str) -> None:
    session = tracking.server.session(basic(reader, PASSWORD))
    url = f"{tracking.server.url}/api/2.0/mlflow-artifacts/artifacts/0/x/artifacts/a.txt"

    assert session.put(url, data=b"mine").status_code == 403
    assert session.get(url).status_code == 404


def test_list_is_read_again_when_it_changes(tracking: Tracking) -> None:
    tracking.module("mlflow_user", name="mutable", password=PASSWORD)

    def create() -> int:
        name = f"of a mutable user {time.monotonic_ns()}"
        path = "2.0/mlflow/experiments/create"
        return tracking.call("mutable", "POST", path, name=name).status_code

    assert create() == 200
    tracking.read_only("mutable")
    assert create() == 403
    tracking.read_only()
    assert create() == 200
