"""No request makes the server fail, hang, end, show a secret or read elsewhere."""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.conftest import LocalAws, started
from tests.tracking_server import (
    ADMIN_PASSWORD,
    DATABASE_PASSWORD,
    GATEWAY_PASSPHRASE,
    VERSION,
    WEBHOOK_KEY,
    basic,
    deployed_server,
    free_port,
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
READER_PASSWORD = "password-of-the-reader"
# The administrator's requests, which delete what the others need, come last; of the others' each
# eleventh is sent.
LOGINS = [
    pytest.param("", 11, id="nobody"),
    pytest.param(basic("reader", READER_PASSWORD), 11, id="reader"),
    pytest.param(None, 1, id="administrator"),
]
SECRETS = {ADMIN_PASSWORD, DATABASE_PASSWORD, GATEWAY_PASSPHRASE, WEBHOOK_KEY, "session-key-of-the"}
ELSEWHERE = "root:x:0:0"
# What is off, or what the kind of store lacks.
NOT_OFFERED = {HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.SERVICE_UNAVAILABLE}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    yield from started(LocalAws(tmp_path_factory.mktemp("aws"), free_port()))


@pytest.fixture(scope="module")
def server(
    cluster: Cluster, aws: LocalAws, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server with its artifacts in S3, as in a deployment."""
    cluster.execute("CREATE DATABASE hostile")
    aws.client("s3").create_bucket(Bucket="artifacts")
    environ = {
        "AWS_ENDPOINT_URL": f"https://127.0.0.1:{aws.port}",
        "AWS_CA_BUNDLE": str(aws.directory / "ca.pem"),
        "AWS_CONFIG_FILE": str(aws.directory / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(aws.directory / "config"),
    }
    with deployed_server(
        cluster,
        "hostile",
        tmp_path_factory.mktemp("hostile"),
        environ,
        mlflow_artifacts_destination="s3://artifacts/root",
        mlflow_aws_region="us-east-1",
    ) as running:
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
    post("2.0/mlflow/users/create", username="reader", password=READER_PASSWORD)
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


@pytest.fixture(scope="module")
def requests_of_all_kinds(usual: dict[str, Any]) -> list[Hostile]:
    return list(hostile_requests(routes_of(VERSION, login=True), usual))


@pytest.mark.parametrize(("login", "stride"), LOGINS)
def test_no_request_makes_the_server_fail(
    server: Server, requests_of_all_kinds: list[Hostile], login: str | None, stride: int
) -> None:
    counted: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    not_offered: Counter[str] = Counter()
    found: list[str] = []
    processes = server.processes()
    sessions = Sessions(server, login)
    for one in requests_of_all_kinds[::stride]:
        counted[one.kind] += 1
        answer = sessions.send(one)
        if answer is None:
            found.append(f"no answer: {one}"[:LONGEST])
            continue
        status = answer.status_code
        not_offered[one.kind] += status in NOT_OFFERED
        refused[one.kind] += HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in NOT_OFFERED:
            found.append(f"{status}: {one}"[:LONGEST])
        if any(secret in answer.text for secret in SECRETS):
            found.append(f"secret: {one}"[:LONGEST])
        if ELSEWHERE in answer.text:
            found.append(f"file: {one}"[:LONGEST])
    print("| kind | requests | 4xx | not offered |\n|---|---|---|---|")
    for kind, number in sorted(counted.items()):
        print(f"| {kind} | {number:,} | {refused[kind]:,} | {not_offered[kind]:,} |")

    assert not found, (len(found), found[:100])
    assert server.processes() == processes
    assert min(counted[kind] for kind in KINDS) > 100 / stride


class Sessions:
    """A client's connections; the server might close one after an invalid request."""

    def __init__(self, server: Server, login: str | None) -> None:
        """Log in as the administrator, as another user, or not at all for ''."""
        self._server, self._login = server, login
        self._connect()

    def send(self, one: Hostile) -> requests.Response | None:
        """Return the answer; None after a timeout, or if the second connection fails as well."""
        for _ in range(2):
            # The path is sent as it is.
            prepared = self._session.prepare_request(
                requests.Request(
                    one.method, self._server.url, data=one.body or None, headers=one.headers
                )
            )
            prepared.url = f"{self._server.url}{one.path}"
            try:
                return self._session.send(prepared, timeout=SECONDS, allow_redirects=False)
            except requests.Timeout:
                return None
            except requests.ConnectionError:
                self._connect()
        return None

    def _connect(self) -> None:
        self._session = self._server.session(self._login)
        if self._login == "":
            del self._session.headers["Authorization"]
