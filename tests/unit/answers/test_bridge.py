"""What Flask answers comes the short way, and nothing else does."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import mlflow_bridge
import pytest
import requests
import uvicorn
from fastapi import FastAPI, Request
from flask import Flask, Response, request
from mlflow.server import app as mlflow_flask
from mlflow.server import auth
from mlflow.server.fastapi_app import app as mlflow_application
from mlflow.server.fastapi_app import create_fastapi_app
from starlette.middleware.base import BaseHTTPMiddleware

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Message

LONG = mlflow_bridge.LONGEST_IN_ONE_PIECE + 1


def flask_application() -> Flask:
    """Return a Flask application with an answer of each kind."""
    flask = Flask("flask")

    @flask.route("/api/short", methods=["GET", "POST"])
    def short() -> Response:
        text = f"{request.args.get('name')} {request.get_data(as_text=True)}"
        answer = Response(text, status=201, headers={"Set-Cookie": "a=1", "X-Name": "ü"})
        answer.headers.add("Set-Cookie", "b=2")
        return answer

    @flask.route("/api/long")
    def long() -> Response:
        return Response(b"x" * LONG)

    @flask.route("/api/empty")
    def empty() -> Response:
        return Response(iter(()))

    @flask.route("/api/broken")
    def broken() -> Response:
        raise RuntimeError("broken")

    @flask.route("/api/of/<name>")
    def variable(name: str) -> str:
        return name

    @flask.route("/page")
    def page() -> str:
        return "page"

    @flask.route("/api/native")
    def hidden() -> str:
        return "Flask"

    return flask


@dataclass
class Client:
    """Asks a server over one connection."""

    url: str
    session: requests.Session = field(default_factory=requests.Session)

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.url + path, timeout=10, **options)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A client of that application behind FastAPI, with a middleware that leaves a mark."""
    flask = flask_application()
    application = FastAPI()

    @application.middleware("http")
    async def mark(asked: Request, call_next: Any) -> Any:
        answer = await call_next(asked)
        answer.headers["X-Mark"] = "there"
        return answer

    @application.get("/api/native")
    def native() -> str:
        return "FastAPI"

    application.mount("/", mlflow_bridge.Bridge(flask))
    mlflow_bridge.shorten(application, flask)
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Client(f"http://127.0.0.1:{port}")
    server.should_exit = True
    thread.join(30)


def test_answer_is_flasks(client: Client) -> None:
    answer = client.ask("POST", "/api/short?name=J%C3%BCrgen", data="asks")
    assert answer.status_code == 201
    assert answer.text == "Jürgen asks"
    assert answer.raw.headers.getlist("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["content-length"] == str(len("Jürgen asks".encode()))
    assert "X-Mark" not in answer.headers


def test_head_has_no_body(client: Client) -> None:
    answer = client.ask("HEAD", "/api/short")
    assert (answer.status_code, answer.content) == (201, b"")
    assert "X-Mark" not in answer.headers


@pytest.mark.parametrize("path", ["/api/native", "/api/of/me", "/page", "/api/nothing"])
def test_all_else_goes_the_long_way(client: Client, path: str) -> None:
    answer = client.ask("GET", path)
    assert answer.headers["X-Mark"] == "there"
    assert answer.status_code == (404 if path == "/api/nothing" else 200)
    assert answer.text != "Flask"


def test_other_methods_go_the_long_way(client: Client) -> None:
    assert client.ask("DELETE", "/api/short").status_code == 405
    assert client.ask("OPTIONS", "/api/short").headers["X-Mark"] == "there"


def test_workspaces_are_the_middlewares_affair(client: Client) -> None:
    answer = client.ask("GET", "/api/short", headers={"X-MLFLOW-WORKSPACE": "mine"})
    assert answer.headers["X-Mark"] == "there"


def test_error_is_told_and_hurts_nobody_else(client: Client) -> None:
    assert client.ask("GET", "/api/broken").status_code == 500
    assert client.ask("GET", "/api/short").status_code == 201


def test_long_and_empty_answers_are_whole(client: Client) -> None:
    assert client.ask("GET", "/api/long").content == b"x" * LONG
    answer = client.ask("GET", "/api/empty")
    assert (answer.status_code, answer.content) == (200, b"")


def ask(application: Any, notice: Any = lambda _message: None) -> list[Message]:
    """Ask a WSGI application; return what is sent."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)
        notice(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [],
        "http_version": "1.1",
    }
    asyncio.run(mlflow_bridge.Bridge(application)(scope, receive, send))
    return sent


def test_short_answer_is_one_piece() -> None:
    def application(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "4")])
        return [b"on", b"ce"]

    assert ask(application) == [
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]},
        {"type": "http.response.body", "body": b"once"},
    ]


class Stream:
    """An answer in pieces; the second waits until somebody has the first."""

    def __init__(self) -> None:
        self.first_is_there = threading.Event()
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield b"first"
        assert self.first_is_there.wait(5)
        yield b"second"

    def close(self) -> None:
        self.closed = True


def test_answer_of_unknown_length_is_sent_on_as_it_comes() -> None:
    stream = Stream()

    def application(_environ: Any, start_response: Any) -> Stream:
        start_response("200 OK", [])
        return stream

    def notice(message: Message) -> None:
        if message.get("body") == b"first":
            stream.first_is_there.set()

    sent = ask(application, notice)
    assert [message.get("body") for message in sent] == [None, b"first", b"second", b""]
    assert stream.closed


def test_no_question_of_mlflows_loses_a_check() -> None:
    questions = mlflow_bridge.flask_questions(mlflow_application, mlflow_flask)
    assert ("POST", "/api/2.0/mlflow/runs/search") in questions
    assert ("GET", "/ajax-api/2.0/mlflow/experiments/search") in questions
    for method, path in questions:
        # None says that FastAPI has no check of its own here: login and permissions are Flask's.
        assert auth._find_fastapi_validator(path, method) is None, path
        assert "/gateway/" not in path or "/mlflow/gateway/" in path, path


def test_with_workspaces_all_is_as_mlflow_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    application = create_fastapi_app(mlflow_flask)
    before = list(application.user_middleware)
    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
    mlflow_bridge.shorten(application, mlflow_flask)
    assert application.user_middleware == before
    monkeypatch.delenv("MLFLOW_ENABLE_WORKSPACES")
    mlflow_bridge.shorten(application, mlflow_flask)
    kinds: list[Any] = [middleware.cls for middleware in application.user_middleware]
    assert BaseHTTPMiddleware not in kinds
    assert kinds[-1] is mlflow_bridge.Direct
