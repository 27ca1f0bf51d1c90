"""Requests are retried while the server is unavailable, and not after a final answer."""

from __future__ import annotations

import json
import threading
import time
import uuid
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import requests
from football import tracking, worker
from football.errors import BadInputError, TrainingError
from mlflow import MlflowClient, MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.loopback_server import TrackingServer

CREATED = (200, json.dumps({"experiment_id": "7"}))


@contextmanager
def answering(*answers: tuple[int, str]) -> Iterator[tuple[str, list[str]]]:
    """Serve these answers in turn, the last one repeatedly; yield the address and the paths."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, body = answers[min(len(asked), len(answers) - 1)]
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_PUT = do_POST  # noqa: N815 -- the names that http.server calls

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


def error(code: str, message: str) -> str:
    return json.dumps({"error_code": code, "message": message})


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv(tracking.PATIENCE, "30")


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (400, error("INVALID_PARAMETER_VALUE", "too long"), "INVALID_PARAMETER_VALUE: too long"),
        (
            400,
            error("BAD_REQUEST", "(psycopg2) long\n\n[SQL: a\nb]\n"),
            "BAD_REQUEST: (psycopg2) long",
        ),
        (401, "You are not authenticated.", "the login is refused"),
        (403, "Permission denied", "error code 403: Permission denied"),
        (403, error("PERMISSION_DENIED", "not yours"), "PERMISSION_DENIED: not yours"),
        (404, error("RESOURCE_DOES_NOT_EXIST", "none"), "RESOURCE_DOES_NOT_EXIST: none"),
        (405, "<html>", "error code 405"),
        (409, error("RESOURCE_CONFLICT", "taken"), "RESOURCE_CONFLICT: taken"),
        (413, "", "error code 413"),
        (422, "", "error code 422"),
        (500, error("INTERNAL_ERROR", "cannot contain NUL (0x00)"), "cannot contain NUL (0x00)"),
        (501, "", "error code 501"),
        (200, "<html>", "not in a valid JSON format"),
    ],
)
def test_with_retries_final_answer_is_raised_at_once_in_a_line(
    status: int, body: str, said: str
) -> None:
    with answering((status, body)) as (url, asked):
        started = time.monotonic()
        with pytest.raises(MlflowException) as caught:
            tracking.with_retries(lambda: MlflowClient(url).create_experiment("a"))

    reason = tracking.reason(caught.value)
    assert time.monotonic() - started < 5
    assert len(asked) == 1
    assert said in reason
    assert "SQL:" not in reason
    assert len(reason.splitlines()) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (408, ""),
        (429, "slow down"),
        (500, "Internal Server Error"),
        (500, error("INTERNAL_ERROR", "(psycopg2.OperationalError) server closed the connection")),
        (502, ""),
        (503, error("TEMPORARILY_UNAVAILABLE", "(psycopg2.OperationalError) starting up")),
        (504, ""),
    ],
)
def test_with_retries_transient_answer_is_retried(status: int, body: str) -> None:
    with answering((status, body), (status, body), CREATED) as (url, asked):
        assert tracking.with_retries(lambda: MlflowClient(url).create_experiment("a")) == "7"

    assert len(asked) == 3


def test_with_retries_unreachable_server_is_reported_and_given_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(tracking.PATIENCE, "2")
    monkeypatch.setattr(tracking, "_SILENT_SECONDS", 1)
    with pytest.raises(MlflowException) as caught:
        tracking.with_retries(lambda: MlflowClient("http://127.0.0.1:1").create_experiment("a"))

    reason = "no answer from the tracking server (Connection refused)"
    assert tracking.reason(caught.value) == reason
    assert capsys.readouterr().err == f"waiting up to 2 s: {reason}\n"


@pytest.mark.parametrize(
    ("status", "body", "asks"),
    [(403, error("PERMISSION_DENIED", "no"), 1), (413, "", 1), (503, "", 2), (500, "oops", 2)],
)
def test_upload_is_retried_only_after_a_transient_answer(
    tmp_path: Path, status: int, body: str, asks: int
) -> None:
    file = tmp_path / "file"
    file.touch()
    with answering((status, body), (200, "{}") if asks > 1 else (status, body)) as (url, asked):

        def upload() -> None:
            uri = f"{url}/api/2.0/mlflow-artifacts/artifacts/a"
            get_artifact_repository(uri).log_artifact(str(file))

        if asks > 1:
            tracking.with_retries(upload)
        else:
            with pytest.raises((requests.HTTPError, MlflowException)) as caught:
                tracking.with_retries(upload)
            assert len(tracking.reason(caught.value).splitlines()) == 1

    assert len([path for path in asked if "artifacts" in path]) == asks


@pytest.mark.parametrize("seconds", ["abc", "nan", "inf", "-1", "1e400"])
def test_patience_invalid_is_refused(seconds: str) -> None:
    with pytest.raises(BadInputError, match=r"FOOTBALL_PATIENCE_SECONDS: .* is not a valid number"):
        tracking.patience({tracking.PATIENCE: seconds})


def test_with_retries_database_error_is_raised_at_once_without_sql(tracking_url: str) -> None:
    client = MlflowClient(tracking_url)
    experiment_id = client.create_experiment(f"refused {uuid.uuid4()}")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"run_name": "a\0b"}, "NUL"),
        ({"run_name": "x" * 251}, "value too long"),
        ({"tags": {"nota": "x" * 8001}}, "value too long"),
    ]
    for options, said in cases:
        started = time.monotonic()
        with pytest.raises(MlflowException) as caught:
            tracking.with_retries(partial(client.create_run, experiment_id, **options))
        reason = tracking.reason(caught.value)
        assert time.monotonic() - started < 5
        assert said in reason
        assert "INSERT" not in reason
        assert len(reason) <= 301


@pytest.fixture
def tracking_url(server: TrackingServer, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in server.client.items():
        monkeypatch.setenv(name, value)
    return server.url


def test_champion_that_the_server_refuses_is_reported_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with answering((403, error("PERMISSION_DENIED", "not\nyours"))) as (url, _):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        with pytest.raises(TrainingError, match=r"champions are not updated: .*: not yours$"):
            worker.promote_champion({"poisson.goles_local": ["1"]}, ["1"], "mse")
