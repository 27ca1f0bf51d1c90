"""The audit trail has a record of each request that changes something, and no secrets."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow_host import audit
from mlflow_host.audit import OBJECTS, Trail
from mlflow_host.patches.read_only import only_reads

from tests.conftest import ROOT
from tests.tracking_server import ADMIN, ADMIN_PASSWORD, VERSION, environment
from tests.tracking_server.routes import routes as routes_of

from .conftest import PASSWORD

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Tracking

WRITING = {"POST", "PUT", "PATCH", "DELETE"}
SECRET = "never-in-the-trail"
# What a request may hold besides the names of objects.
VALUES = {
    **dict.fromkeys(("password", "new_password", "secret", "value", "url", "description"), SECRET),
    "secret_value": {"api_key": SECRET, "name": SECRET},
    "auth_config": {"key": SECRET},
    "metrics": [{"key": "a", "value": SECRET}],
    "params": [{"key": "a", "value": SECRET}],
    "tags": [{"key": "a", "value": SECRET}],
    "messages": [{"content": SECRET, "name": SECRET}],
}
# Parameters of paths that name no object of MLflow's.
UNNAMED = {"path"}
# Fields that name no object of their own, or that are beside one that does.
NOT_RECORDED = {
    *("action_endpoint_id", "dataset_name", "deployment_job_id", "model_name"),
    *("update_schema_ids", "update_users"),
}
# Their objects are in the path, or in the answer.
IN_PATH_OR_ANSWER = {"createAssessment", "createBudgetPolicy", "startTraceV3", "updateAssessment"}
# Prints the fields of the messages by which MLflow's own services change something.
MESSAGES = """
import json, os
os.environ["_MLFLOW_SGI_NAME"] = "gunicorn"
from mlflow.protos import databricks_pb2
from mlflow.server import handlers
services = (handlers.MlflowService, handlers.ModelRegistryService, handlers.WebhookService)
found = {
    method.name: [field.name for field in method.input_type.fields]
    for service in services
    for method in service.DESCRIPTOR.methods
    for endpoint in method.GetOptions().Extensions[databricks_pb2.rpc].endpoints
    if endpoint.method != "GET" and not method.name.startswith(("search", "query", "calculate"))
}
print(json.dumps(found))
"""
SENT = {name: f"sent-{name}" for name in OBJECTS}


def records(tracking: Tracking, request: str, most: float = 10) -> list[dict[str, Any]]:
    """Return the records of a request, which the server writes after the answer."""
    deadline = time.monotonic() + most
    path = tracking.directory / "audit.jsonl"
    while True:
        lines = path.read_text().splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines if request in line]
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def record_of(tracking: Tracking, answer: requests.Response) -> dict[str, Any]:
    """Return the one record of an answer."""
    [record] = records(tracking, answer.headers["X-Request-Id"])
    return record


def writing_routes() -> list[tuple[str, str]]:
    """Return what the server offers, by its own table, and its login's routes."""
    return [(method, path) for method, path in routes_of(VERSION, login=True) if method in WRITING]


@pytest.fixture(scope="module")
def answers(tracking: Tracking) -> dict[tuple[str, str], str]:
    """Ask each route that changes something, as the administrator; return the ids of requests."""
    session = tracking.server.session()
    found = {}
    for method, path in writing_routes():
        filled = re.sub("[<{](?:path:)?(\\w+)(?::path)?[>}]", r"sent-\1", path)
        answer = session.request(
            method, f"{tracking.server.url}{filled}?token={SECRET}", json=SENT | VALUES, timeout=60
        )
        found[method, path] = answer.headers["X-Request-Id"]
    return found


def test_audit_each_route_that_changes_something_has_a_record(
    tracking: Tracking, answers: dict[tuple[str, str], str]
) -> None:
    assert len(answers) > 200
    text = (tracking.directory / "audit.jsonl").read_text()
    assert SECRET not in text
    by_id = {one["request_id"]: one for one in map(json.loads, text.splitlines())}
    lacking = {}
    for (method, path), request in answers.items():
        if only_reads(method, path):
            continue
        # The server writes a record after its answer.
        record = by_id.get(request) or records(tracking, request)[0]
        assert (record["user"], record["method"], record["program"]) == (ADMIN, method, "server")
        assert record["action"], record
        names = set(re.findall("[<{](?:path:)?(\\w+)", path))
        # A request that is refused by its path is not read.
        is_of_body = not names and path.startswith(("/api/", "/ajax-api/"))
        body = {"name", "run_id"} if is_of_body else set()
        missing = ((names & OBJECTS) | body) - set(record["objects"])
        if missing or names - OBJECTS - UNNAMED:
            lacking[method, path] = (missing, names - OBJECTS)
    assert lacking == {}


@pytest.mark.slow
@pytest.mark.parametrize("stride", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_audit_body_that_is_nested_too_deeply_has_a_record(tracking: Tracking, stride: int) -> None:
    """Python's JSON ends with a RecursionError, which is no ValueError."""
    session = tracking.server.session()
    headers = {"Content-Type": "application/json"}
    routes = [one for one in writing_routes() if not only_reads(*one)][::stride]
    failed = {}
    for method, path in routes:
        url = tracking.server.url + re.sub("[<{][^>}]*[>}]", "1", path)
        answer = session.request(method, url, data=b"[" * 3000, headers=headers, timeout=60)
        if answer.status_code >= 500 and answer.status_code not in {501, 503}:
            failed[method, path] = answer.status_code
        assert record_of(tracking, answer)["status"] == answer.status_code, path
    assert failed == {}


def test_objects_each_id_of_a_message_that_changes_something_is_listed() -> None:
    """A field of a later release that names an object has to be added, or left out on purpose."""
    done = subprocess.run(
        [environment(), "-c", MESSAGES], capture_output=True, text=True, check=True
    )
    messages = json.loads(done.stdout.splitlines()[-1])
    ids = {
        name
        for fields in messages.values()
        for name in fields
        if re.search("(^|_)(ids?|uuid|name|user|users)$", name)
    }

    assert len(messages) > 80
    assert ids - OBJECTS == NOT_RECORDED
    unnamed = {name for name, fields in messages.items() if not OBJECTS & set(fields)}
    assert unnamed == IN_PATH_OR_ANSWER


def test_audit_record_says_who_deleted_a_run(tracking: Tracking) -> None:
    name = f"audited {uuid.uuid4().hex}"
    tracking.module("mlflow_user", name="leo", password=PASSWORD, admin=True)
    made = tracking.call("leo", "POST", "2.0/mlflow/experiments/create", name=name)
    experiment = made.json()["experiment_id"]
    run = tracking.call("leo", "POST", "2.0/mlflow/runs/create", experiment_id=experiment)
    run_id = run.json()["run"]["info"]["run_id"]
    deleted = tracking.call("leo", "POST", "2.0/mlflow/runs/delete", run_id=run_id)

    assert record_of(tracking, made)["objects"] == {"name": name, "experiment_id": experiment}
    created = record_of(tracking, run)
    assert (created["action"], created["objects"]["run_id"]) == ("create_run", run_id)
    record = record_of(tracking, deleted)
    assert record.pop("time").startswith("20")
    assert record == {
        "request_id": deleted.headers["X-Request-Id"],
        "program": "server",
        "user": "leo",
        "client": "127.0.0.1",
        "action": "delete_run",
        "method": "POST",
        "path": "/api/2.0/mlflow/runs/delete",
        "objects": {"run_id": run_id},
        "status": 200,
        "result": "done",
    }
    # The documented query.
    [query] = re.findall(r"'(select\(.*delete_run.*@tsv)'", (ROOT / "docs/audit.md").read_text())
    found = subprocess.run(
        ["jq", "--raw-output", "--arg", "run", run_id, query, tracking.directory / "audit.jsonl"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert found[1:4] == ["leo", "127.0.0.1", "done"]


def test_audit_record_of_permissions_and_users_has_no_password(tracking: Tracking) -> None:
    name = f"user-{uuid.uuid4().hex[:8]}"
    post = tracking.server.session().post
    url = f"{tracking.server.url}/api"
    made = post(f"{url}/2.0/mlflow/users/create", json={"username": name, "password": SECRET * 2})
    grant = {
        "username": name,
        "resource_type": "experiment",
        "resource_id": "0",
        "permission": "EDIT",
    }
    granted = post(f"{url}/3.0/mlflow/users/permissions/grant", json=grant)

    assert made.ok, made.text
    assert granted.ok, granted.text
    assert record_of(tracking, made)["objects"]["username"] == name
    assert record_of(tracking, granted)["objects"].items() >= grant.items()
    assert SECRET not in (tracking.directory / "audit.jsonl").read_text()


def test_audit_refused_requests_are_recorded_and_reads_are_not(tracking: Tracking) -> None:
    tracking.module("mlflow_user", name="reader", password=PASSWORD)
    tracking.read_only("reader")
    refused = tracking.call("reader", "POST", "2.0/mlflow/experiments/create", name="x")
    tracking.read_only()
    unknown = tracking.call(ADMIN, "GET", "2.0/mlflow/experiments/get?experiment_id=0", SECRET)
    read = tracking.call(ADMIN, "GET", "2.0/mlflow/experiments/get?experiment_id=0", ADMIN_PASSWORD)
    asked = requests.get(f"{tracking.server.url}/api/2.0/mlflow/experiments/get", timeout=30)
    last = tracking.call(
        ADMIN, "POST", "2.0/mlflow/experiments/delete", ADMIN_PASSWORD, experiment_id="99999"
    )

    record = record_of(tracking, refused)
    assert (record["user"], record["result"], record["objects"]) == (
        "reader",
        "denied",
        {"name": "x"},
    )
    record = record_of(tracking, unknown)
    assert (record["user"], record["status"], record["result"]) == (None, 401, "denied")
    assert record_of(tracking, last)["result"] == "failed"
    assert records(tracking, read.headers["X-Request-Id"], most=0) == []
    assert asked.status_code == 401
    assert records(tracking, asked.headers["X-Request-Id"], most=0) == []


def test_audit_artifacts_and_bodies_of_any_kind_have_their_object(tracking: Tracking) -> None:
    session = tracking.server.session()
    path = f"/api/2.0/mlflow-artifacts/artifacts/0/{uuid.uuid4().hex}/artifacts/a.txt"
    put = session.put(f"{tracking.server.url}{path}", data=SECRET.encode() * 100_000)
    run = tracking.admin("POST", "2.0/mlflow/runs/create", experiment_id="0")
    run_id = run["run"]["info"]["run_id"]
    metrics = [{"key": "m", "value": i, "timestamp": 1, "step": i} for i in range(1000)]
    long = session.post(
        f"{tracking.server.url}/api/2.0/mlflow/runs/log-batch",
        json={"metrics": metrics, "run_id": run_id, "params": [], "tags": []},
    )
    untyped = session.post(
        f"{tracking.server.url}/api/2.0/mlflow/runs/set-tag",
        data=json.dumps({"run_id": run_id, "key": "k", "value": SECRET}),
    )

    assert (put.ok, long.ok, untyped.status_code) == (True, True, untyped.status_code)
    assert path in json.dumps(record_of(tracking, put))
    assert record_of(tracking, long)["objects"] == {"run_id": run_id}
    assert record_of(tracking, untyped)["objects"] == {"run_id": run_id, "key": "k"}
    assert SECRET not in (tracking.directory / "audit.jsonl").read_text()


@pytest.mark.slow
def test_garbage_collection_leaves_records(tracking: Tracking) -> None:
    run = tracking.admin("POST", "2.0/mlflow/runs/create", experiment_id="0")
    run_id = run["run"]["info"]["run_id"]
    tracking.admin("POST", "2.0/mlflow/runs/delete", run_id=run_id)
    assert tracking.server.host
    tracking.server.host.run("collect-garbage", f"--admin={ADMIN}", "--older-than=0d0h0m1s")

    [record] = [one for one in records(tracking, run_id) if one["program"] == "gc"]
    assert record["action"] == "hard_delete_run"
    assert record["objects"] == {"run_id": run_id}


@settings(max_examples=50, deadline=None)
@given(st.recursive(st.text() | st.integers() | st.floats() | st.none(), st.lists, max_leaves=200))
def test_objects_any_value_is_short_or_left_out(value: Any) -> None:
    found = audit.objects({"name": value, "password": value})

    assert set(found) <= {"name"}
    assert len(json.dumps(found)) < 12 * (audit.LONGEST + 2) * (audit.MOST + 2)
    assert "\n" not in json.dumps(found)


def test_answered_reads_no_further_than_three_levels() -> None:
    answer = {
        "run": {"info": {"run_id": "a", "tags": [{"key": SECRET}]}},
        "assessment": {"feedback": {"value": {"name": SECRET}}},
    }
    assert audit.answered(answer) == {"run_id": "a"}
    nothing: Any
    for nothing in (None, [], "x", 3):
        assert audit.answered(nothing) == {}


APPEND = """
import sys, pathlib
from mlflow_host.audit import Trail
trail = Trail(pathlib.Path(sys.argv[1]), "/nowhere")
for number in range(2000):
    trail.record(worker=sys.argv[2], number=number, filler="x" * (number % 700))
"""


def test_trail_two_processes_append_whole_lines(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"

    def append(worker: int) -> None:
        subprocess.run(
            [sys.executable, "-c", APPEND, file, str(worker)],
            env=os.environ | {"PYTHONPATH": str(ROOT / "server")},
            check=True,
        )

    with ThreadPoolExecutor() as pool:
        list(pool.map(append, range(2)))

    lines = [json.loads(line) for line in file.read_text().splitlines()]
    found = [(line["worker"], line["number"]) for line in lines]
    assert sorted(found) == sorted((str(w), n) for w in range(2) for n in range(2000))


def test_trail_is_followed_over_a_rotation(tmp_path: Path) -> None:
    file, former = tmp_path / "audit.jsonl", tmp_path / "former"
    trail = Trail(file, "/nowhere")
    trail.record(number=1)
    file.rename(former)
    file.touch()
    trail.record(number=2)

    assert json.loads(former.read_text())["number"] == 1
    assert json.loads(file.read_text())["number"] == 2


def test_trail_full_disk_is_said_and_recovers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "audit.jsonl"
    trail = Trail(file, "/nowhere")
    trail.record(number=1)
    # The limit of a file's size cuts a write as a full disk does.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 20, before[1]))
    try:
        trail.record(number=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    trail.record(number=3)

    assert os.strerror(errno.EFBIG) in caplog.text
    first, cut, last = file.read_text().splitlines()
    assert (json.loads(first)["number"], json.loads(last)["number"]) == (1, 3)
    with pytest.raises(ValueError, match=r"Unterminated|delimiter|Expecting"):
        json.loads(cut)


def test_trail_missing_folder_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Trail(tmp_path / "missing/audit.jsonl", "/nowhere").record(number=1)

    assert "The audit trail lacks a record in append" in caplog.text
