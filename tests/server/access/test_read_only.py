from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from mlflow_host.patches import read_only

from tests.tracking_server import VERSION, basic
from tests.tracking_server.routes import routes as routes_of

from .conftest import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Tracking

REFUSED = "This user may only read"
WRITING = {"POST", "PUT", "PATCH", "DELETE"}
READS = (
    "/search", "/search-datasets", "/graphql", "/get-latest-versions", "/presigned-download-url",
    "/batchGetInfos", "/calculate-filter-correlation", "/traces/metrics",
)  # fmt: skip
# MLflow answers 404 to a queue that does not exist before this is asked.
CHECKED_EARLIER = ("/review-queues/update",)
READING = [
    ("api/2.0/mlflow/experiments/search", {"max_results": 1}),
    ("api/2.0/mlflow/runs/search", {"experiment_ids": ["0"]}),
    ("api/2.0/mlflow/logged-models/search", {"experiment_ids": ["0"]}),
    ("ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": ["0"]}),
    ("api/3.0/mlflow/prompt-optimization/jobs/search", {"experiment_id": "0"}),
    ("ajax-api/3.0/jobs/search", {}),
    ("api/3.0/mlflow/datasets/search", {"experiment_ids": ["0"]}),
    ("api/3.0/mlflow/issues/search", {"experiment_id": "0"}),
]
# They only read under these names; everything else that is sent by these methods is refused.
NEITHER = [
    ("POST", "/api/2.0/mlflow/runs/search/"),
    ("POST", "/api/2.0/mlflow/runs/search\n"),
    ("POST", "/api/2.0//mlflow/runs/search"),
    ("POST", "/x/api/2.0/mlflow/runs/search"),
    ("POST", "/api/\u0662.0/mlflow/runs/search"),
    ("PUT", "/api/2.0/mlflow/runs/search"),
    ("post", "/api/2.0/mlflow/runs/create"),
]


@pytest.fixture
def reader(tracking: Tracking) -> Iterator[str]:
    tracking.module("mlflow_user", name="grafana", password=PASSWORD)
    tracking.read_only("somebody", "grafana")
    yield "grafana"
    tracking.read_only()


@pytest.fixture(scope="module")
def routes() -> list[tuple[str, str]]:
    found = routes_of(VERSION, login=True)
    return sorted({(method, re.sub("[<{][^>}]*[>}]", "1", path)) for method, path in found})


def test_reader_is_refused_every_way_of_writing(
    tracking: Tracking, routes: list[tuple[str, str]]
) -> None:
    # None of MLflow's own permissions refuses an administrator.
    tracking.module("mlflow_user", name="auditor", password=PASSWORD, admin=True)
    tracking.read_only("auditor")
    session = tracking.server.session(basic("auditor", PASSWORD))
    statuses: dict[tuple[str, str], str] = {}
    for method, path in routes:
        if method in WRITING:
            answer = session.request(method, f"{tracking.server.url}{path}", json={"name": "x"})
            statuses[method, path] = answer.text if answer.status_code == 403 else ""
    tracking.read_only()
    allowed = sorted({path for (_, path), text in statuses.items() if text != REFUSED})

    assert len(statuses) > 200
    # Whatever is not refused only reads.
    assert [path for path in allowed if not path.endswith(READS + CHECKED_EARLIER)] == []


@pytest.mark.parametrize(("path", "body"), READING)
def test_reader_reads_what_others_read(
    tracking: Tracking, reader: str, path: str, body: dict[str, Any]
) -> None:
    tracking.module("mlflow_user", name="other", password=PASSWORD)
    [answer, wanted] = [
        tracking.server.session(basic(user, PASSWORD)).post(
            f"{tracking.server.url}/{path}", json=body
        )
        for user in (reader, "other")
    ]
    assert answer.text != REFUSED
    assert (answer.status_code, answer.json()) == (wanted.status_code, wanted.json())


def test_reader_gets_experiment(tracking: Tracking, reader: str) -> None:
    answer = tracking.call(reader, "GET", "2.0/mlflow/experiments/get?experiment_id=0")
    assert answer.status_code == 200


@pytest.mark.parametrize(("method", "path"), NEITHER)
def test_only_reads_near_miss_is_refused(method: str, path: str) -> None:
    assert not read_only.only_reads(method, path)


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
