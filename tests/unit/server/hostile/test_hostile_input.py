"""No request makes the server hang, end, show a secret or read elsewhere, whatever its values."""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.tracking_server import (
    ADMIN_PASSWORD,
    DATABASE_PASSWORD,
    GATEWAY_PASSPHRASE,
    VERSION,
    WEBHOOK_KEY,
    deployed_server,
)
from tests.tracking_server.routes import routes as routes_of

from .generated import BODIES, HEADERS, SEGMENTS, VALUES, Hostile
from .generated import requests as hostile_requests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Cluster
    from tests.tracking_server import Server

pytestmark = pytest.mark.slow
SECONDS = 20
LONGEST = 500
KINDS = {*VALUES, *BODIES, *HEADERS, *SEGMENTS}
SECRETS = {ADMIN_PASSWORD, DATABASE_PASSWORD, GATEWAY_PASSPHRASE, WEBHOOK_KEY, "session-key-of-the"}
ELSEWHERE = "root:x:0:0"


@pytest.fixture(scope="module")
def server(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    cluster.execute("CREATE DATABASE hostile")
    directory = tmp_path_factory.mktemp("hostile")
    with deployed_server(cluster, "hostile", directory) as running:
        yield running


@pytest.fixture(scope="module")
def usual(server: Server) -> dict[str, Any]:
    """Values of fields that lead a request as far as possible."""
    session = server.session()

    def post(path: str, **body: Any) -> Any:
        answer = session.post(f"{server.url}/api/{path}", json=body, timeout=SECONDS)
        assert answer.ok, (path, answer.text)
        return answer.json() if answer.content else {}

    experiment = post("2.0/mlflow/experiments/create", name="usual")["experiment_id"]
    info = post("2.0/mlflow/runs/create", experiment_id=experiment)["run"]["info"]
    run = info["run_id"]
    folder = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
    session.put(
        f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{folder}/a.txt",
        data=b"a",
        timeout=SECONDS,
    ).raise_for_status()
    post("2.0/mlflow/runs/log-metric", run_id=run, key="m", value=1, timestamp=1)
    post("2.0/mlflow/registered-models/create", name="winner")
    post(
        "2.0/mlflow/model-versions/create",
        name="winner",
        source=f"{info['artifact_uri']}/a.txt",
        run_id=run,
    )
    post("2.0/mlflow/registered-models/alias", name="winner", alias="champion", version="1")
    post("2.0/mlflow/users/create", username="victim", password="password-of-the-victim")
    model = post("2.0/mlflow/logged-models", experiment_id=experiment, name="logged")["model"][
        "info"
    ]
    return {
        "experiment_id": experiment,
        "experiment_ids": experiment,
        "experiment_name": "usual",
        "run_id": run,
        "run_ids": run,
        "source_run_id": run,
        "name": "winner",
        "new_name": "renamed",
        "version": "1",
        "alias": "champion",
        "key": "k",
        "tag_key": "k",
        "value": "v",
        "metric_key": "m",
        "path": "a.txt",
        "artifact_path": f"{folder}/a.txt",
        "source": info["artifact_uri"],
        "model_id": model["model_id"],
        "username": "victim",
        "password": "password-of-the-victim",
        "permission": "READ",
        "query": "{ __typename }",
        "url": "https://example.org/hook",
    }


def test_no_request_hangs_shows_a_secret_or_reads_elsewhere(
    server: Server, usual: dict[str, Any]
) -> None:
    """The table also counts the answers with 5xx: MLflow has them for many invalid values."""
    sessions = [server.session()]
    counted: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    found: list[str] = []
    processes = server.processes()
    for one in hostile_requests(routes_of(VERSION, login=True), usual):
        counted[one.kind] += 1
        answer = send(sessions, server, one)
        if answer is None:
            found.append(f"no answer: {one}"[:LONGEST])
            continue
        failures[one.kind] += answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
        if any(secret in answer.text for secret in SECRETS):
            found.append(f"secret: {one}"[:LONGEST])
        if ELSEWHERE in answer.text:
            found.append(f"file: {one}"[:LONGEST])
    print("| kind | requests | 5xx |\n|---|---|---|")
    for kind, number in sorted(counted.items()):
        print(f"| {kind} | {number:,} | {failures[kind]:,} |")

    assert not found, found
    assert server.processes() == processes
    assert min(counted[kind] for kind in KINDS) > 100


def send(
    sessions: list[requests.Session], server: Server, one: Hostile
) -> requests.Response | None:
    """Return the answer; the server might close a connection after an invalid request.

    Return None after a timeout, or if the second connection fails as well.
    """
    for _ in range(2):
        session = sessions[-1]
        # The path is sent as it is.
        prepared = session.prepare_request(
            requests.Request(one.method, server.url, data=one.body or None, headers=one.headers)
        )
        prepared.url = f"{server.url}{one.path}"
        try:
            return session.send(prepared, timeout=SECONDS, allow_redirects=False)
        except requests.Timeout:
            return None
        except requests.ConnectionError:
            sessions.append(server.session())
    return None
