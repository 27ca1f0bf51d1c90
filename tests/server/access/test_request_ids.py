"""One id leads through the answer, the server's log and PostgreSQL's log."""

from __future__ import annotations

import json
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from mlflow_host.logs import Request, current
from mlflow_host.patches.request_ids import add_comment, request_id

from tests.tracking_server import ADMIN, ADMIN_PASSWORD

if TYPE_CHECKING:
    import requests

    from .conftest import Tracking

ACCESS = "mlflow_host.access"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Of Flask with the shortcut, by a name in the path, of FastAPI, of no route at all.
PATHS = {
    "POST api/2.0/mlflow/runs/search": {"experiment_ids": ["0"]},
    "GET api/2.0/mlflow/experiments/get?experiment_id=0": None,
    "GET api/2.0/mlflow-artifacts/artifacts?path=secret": None,
    "POST ajax-api/3.0/jobs/search": {},
    "GET api/nowhere": None,
}


def ask(tracking: Tracking, request: str, **fields: str) -> requests.Response:
    method, path = request.split(" ")
    session = tracking.server.session()
    body = PATHS.get(request)
    return session.request(method, f"{tracking.server.url}/{path}", json=body, headers=fields)


def lines(tracking: Tracking, request: str) -> list[dict[str, Any]]:
    """Return the lines of the server's log that have this id, once the access is among them."""
    deadline = time.monotonic() + 10
    while True:
        text = (tracking.directory / "log").read_text()
        found = [json.loads(line) for line in text.splitlines() if request in line]
        # The server writes it after the answer.
        if any(line["logger"] == ACCESS for line in found) or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


@pytest.mark.parametrize("request_line", PATHS)
def test_request_one_id_is_in_answer_and_access_log(tracking: Tracking, request_line: str) -> None:
    sent = str(uuid.uuid4())
    answer = ask(tracking, request_line, **{"X-Request-Id": sent})

    assert answer.headers["X-Request-Id"] == sent
    [line] = [one for one in lines(tracking, sent) if one["logger"] == ACCESS]
    method, path = request_line.split(" ")
    assert line["method"] == method
    assert line["path"] == "/" + path.split("?")[0]
    assert line["status"] == answer.status_code
    assert line["client"] == "127.0.0.1"
    assert 0 < line["seconds"] < 60
    assert "secret" not in json.dumps(line)


def test_request_access_log_names_the_user(tracking: Tracking) -> None:
    for path, user, password, expected in (
        ("2.0/mlflow/experiments/search?max_results=1", ADMIN, ADMIN_PASSWORD, ADMIN),
        ("2.0/mlflow/experiments/search?max_results=1", ADMIN, "wrong-password", None),
        ("3.0/mlflow/jobs/search", ADMIN, ADMIN_PASSWORD, ADMIN),
    ):
        answer = tracking.call(user, "GET", path, password)
        [line] = lines(tracking, answer.headers["X-Request-Id"])
        assert (path, line["user"]) == (path, expected)


def test_request_statements_carry_the_id_in_postgresql_log(tracking: Tracking) -> None:
    sent = str(uuid.uuid4())
    experiment = tracking.admin("POST", "2.0/mlflow/experiments/create", name=sent[:8])
    ask(
        tracking, "GET api/2.0/mlflow/experiments/get?experiment_id=0", **{"X-Request-Id": sent}
    ).raise_for_status()
    searched = ask(tracking, "POST api/2.0/mlflow/runs/search")

    log = (tracking.cluster.directory / "log").read_text()
    found = re.findall(rf"duration: .*(?:\n\t.*)*/\*request_id='{sent}'\*/", log)
    assert any("FROM experiments" in statement for statement in found), found
    assert f"/*request_id='{searched.headers['X-Request-Id']}'*/" in log
    assert experiment


@pytest.mark.parametrize(
    "given",
    [
        "",
        "short",
        "x" * 65,
        "a'*/ DROP TABLE runs; --",
        "%s%s%s%s%s",
        "12345678\u00e4",
        "a b c d e",
    ],
)
def test_request_id_that_is_not_valid_is_replaced(tracking: Tracking, given: str) -> None:
    field = given.encode("latin-1").decode("latin-1")
    answer = ask(tracking, "GET api/nowhere", **{"X-Request-Id": field})

    assert UUID.fullmatch(answer.headers["X-Request-Id"])


def test_request_id_two_fields_are_replaced() -> None:
    fields = [(b"x-request-id", b"0123456789")] * 2

    assert UUID.fullmatch(request_id(fields))
    assert request_id(fields[:1]) == "0123456789"


def test_request_id_requests_at_the_same_time_keep_their_own(tracking: Tracking) -> None:
    def one(_: int) -> str:
        sent = str(uuid.uuid4())
        answer = ask(
            tracking, "GET api/2.0/mlflow/experiments/get?experiment_id=0", **{"X-Request-Id": sent}
        )
        assert answer.headers["X-Request-Id"] == sent
        return sent

    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(one, range(40)))

    log = (tracking.cluster.directory / "log").read_text()
    assert [one for one in sent if f"request_id='{one}'" not in log] == []


def test_comment_is_added_within_requests_only() -> None:
    assert add_comment(None, None, "SELECT 1", ()) == ("SELECT 1", ())
    token = current.set(Request("0123456789"))
    try:
        statement, _ = add_comment(None, None, "SELECT 1", ())
    finally:
        current.reset(token)

    assert statement == "SELECT 1 /*request_id='0123456789'*/"


def test_log_each_line_is_json(tracking: Tracking) -> None:
    found = [
        json.loads(line) for line in (tracking.directory / "log").read_text().splitlines() if line
    ]

    assert found
    assert all({"time", "level", "logger", "message"} <= set(line) for line in found)
