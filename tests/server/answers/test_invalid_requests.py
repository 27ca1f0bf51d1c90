"""Errors of a request's values are answered by 400, errors of other systems as before."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy.exc
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError
from fastapi import FastAPI
from flask import Flask, request
from google.protobuf.json_format import ParseError
from graphql import GraphQLError
from mlflow import exceptions
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import FEATURE_DISABLED, RESOURCE_DOES_NOT_EXIST
from mlflow_host.patches import Server, invalid_requests

if TYPE_CHECKING:
    from collections.abc import Callable

OUTAGE = sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception("server closed the connection"))


def s3_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "HeadObject")


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def during(error: Exception, other: Exception) -> Exception:
    """Return an error that came up while another one was handled."""
    error.__context__ = other
    return error


OF_VALUES = [
    KeyError("a"),
    TypeError("int() argument must be a string"),
    AttributeError("'list' object has no attribute 'get'"),
    ValueError("A string literal cannot contain NUL (0x00) characters."),
    RecursionError("maximum recursion depth exceeded"),
    caused(SystemError("returned a result with an exception set"), TypeError("surrogates")),
    OSError(errno.ENAMETOOLONG, "File name too long", "/srv/artifacts/xxx"),
    s3_error("KeyTooLongError"),
    ParamValidationError(report="Invalid length for parameter Key"),
    ParseError("Failed to parse users field"),
]
OF_OTHER_SYSTEMS = [
    OUTAGE,
    SystemError("no cause"),
    MemoryError(),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    OSError(errno.ENOSPC, "No space left on device"),
    s3_error("SlowDown"),
    EndpointConnectionError(endpoint_url="https://s3"),
    # MLflow stumbles over an outage.
    caused(TypeError("'NoneType' object is not subscriptable"), OUTAGE),
    during(KeyError("a"), TimeoutError()),
]


@pytest.mark.parametrize("error", OF_VALUES, ids=repr)
def test_error_of_values(error: Exception) -> None:
    assert invalid_requests.is_of_values(error)


@pytest.mark.parametrize("error", OF_OTHER_SYSTEMS, ids=repr)
def test_error_of_another_system(error: Exception) -> None:
    assert not invalid_requests.is_of_values(error)


def ask(application: Any) -> tuple[int, bytes]:
    """Return status and body of an ASGI application's answer to `GET /`."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "scheme": "http",
        "http_version": "1.1",
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 1),
        "extensions": {},
    }
    # Starlette answers 500, and raises the error for the log of uvicorn.
    with contextlib.suppress(Exception):
        asyncio.run(application(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def error_code(status: int, body: bytes) -> tuple[int, Any]:
    """Return what is compared of an answer."""
    return status, json.loads(body)["error_code"] if body.startswith(b"{") else None


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], list[tuple[int, Any]]]:
    """What Flask and FastAPI answer when a route raises an error: status and error code."""
    # The patch is taken back after the test.
    for name in ("get_http_status_code", "serialize_as_json"):
        monkeypatch.setattr(MlflowException, name, getattr(MlflowException, name))
    statuses = dict(exceptions.ERROR_CODE_TO_HTTP_STATUS)
    monkeypatch.setattr(exceptions, "ERROR_CODE_TO_HTTP_STATUS", statuses)
    flask, fastapi = Flask("routes"), FastAPI()
    raised: list[Exception] = []

    @flask.get("/")
    def flask_route() -> str:
        raise raised[-1]

    @fastapi.get("/")
    def fastapi_route() -> None:
        raise raised[-1]

    @flask.get("/form")
    def form_route() -> str:
        return request.form["a"]

    invalid_requests.apply(Server(fastapi, flask, None))

    def answers(error: Exception) -> list[tuple[int, Any]]:
        raised.append(error)
        client = flask.test_client()
        # The first is a KeyError as well.
        assert [client.get(path).status_code for path in ("/form", "/none")] == [400, 404]
        assert client.get("/form").mimetype == "text/html"
        found = client.get("/")
        return [error_code(found.status_code, found.data), error_code(*ask(fastapi))]

    return answers


@pytest.mark.parametrize("error", OF_VALUES, ids=repr)
def test_values_are_answered_as_invalid(
    error: Exception, answer: Callable[[Exception], list[tuple[int, Any]]]
) -> None:
    assert answer(error) == [(400, "INVALID_PARAMETER_VALUE")] * 2


def test_errors_of_graphql_are_invalid_in_flask(
    answer: Callable[[Exception], list[tuple[int, Any]]],
) -> None:
    """It has no route of FastAPI's."""
    assert answer(GraphQLError("Syntax Error"))[0] == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("error", OF_OTHER_SYSTEMS[:-1], ids=repr)
def test_other_systems_are_answered_as_before(
    error: Exception, answer: Callable[[Exception], list[tuple[int, Any]]]
) -> None:
    assert answer(error) == [(500, None)] * 2


@pytest.mark.usefixtures("answer")
@pytest.mark.parametrize(
    ("cause", "status", "code"),
    [
        (ValueError("cannot contain NUL"), 400, "INVALID_PARAMETER_VALUE"),
        (OUTAGE, 500, "INTERNAL_ERROR"),
        (None, 500, "INTERNAL_ERROR"),
    ],
)
def test_error_of_a_store_has_the_status_of_its_cause(
    cause: Exception | None, status: int, code: str
) -> None:
    error = MlflowException("message", detail="kept")
    error.__cause__ = cause

    assert error.get_http_status_code() == status
    assert f'"error_code": "{code}", "message": "message"' in error.serialize_as_json()
    assert '"detail": "kept"' in error.serialize_as_json()


def test_errors_of_mlflow_keep_their_status(
    answer: Callable[[Exception], list[tuple[int, Any]]],
) -> None:
    missing = MlflowException("no run", error_code=RESOURCE_DOES_NOT_EXIST)
    disabled = MlflowException("no workspaces", error_code=FEATURE_DISABLED)

    assert answer(missing)[0] == (404, "RESOURCE_DOES_NOT_EXIST")
    assert disabled.get_http_status_code() == 501


def test_answer_names_no_path_of_the_server() -> None:
    error = invalid_requests.as_invalid(OSError(errno.ENAMETOOLONG, "File name too long", "/srv/x"))

    assert "File name too long" in error.message
    assert "/srv/x" not in error.message
