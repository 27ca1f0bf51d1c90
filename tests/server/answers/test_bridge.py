"""What Flask answers comes the short way, and nothing else does."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import http.client
import inspect
import json
import socket
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import requests
import uvicorn
from fastapi import FastAPI, Request
from flask import Flask, Response, request
from mlflow.server import app as mlflow_flask
from mlflow.server import auth
from mlflow.server.fastapi_app import app as mlflow_application
from mlflow.server.fastapi_app import create_fastapi_app
from mlflow_host.patches import Server, flask_shortcut, trailers, wsgi_bridge
from mlflow_host.patches.wsgi_bridge import content_coding
from starlette.middleware.base import BaseHTTPMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import Message

LONG = wsgi_bridge.LONGEST_IN_ONE_PIECE + 1
WITH_BODY = ("POST", "PUT", "PATCH", "DELETE")
# One goes to Flask directly, the other through FastAPI's routing.
ECHOES = ("/api/echo", "/api/echo/x")
BODY = {"text": "x" * 5000, "number": 1}
CALLS: list[str] = []
# How many bytes of an upload have been read; -1 when it is complete.
UPLOADED: dict[str, int] = {}
READERS = ThreadPoolExecutor(2)


class Endless:
    """An answer without an end, until it is closed."""

    def __init__(self) -> None:
        self.is_closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b"x" * 65536

    def close(self) -> None:
        self.is_closed.set()


ENDLESS = Endless()


def _add_views_of_bodies(flask: Flask) -> None:
    """Add views that repeat what they got, and one whose answer has no end."""

    @flask.route("/api/echo", methods=["GET", *WITH_BODY])
    @flask.route("/api/echo/<name>", methods=["GET", *WITH_BODY])
    def echo(name: str = "") -> dict[str, Any]:
        CALLS.append(request.path)
        return {
            "name": name,
            "path": request.path,
            "query": request.args.to_dict(),
            "cookies": request.cookies.to_dict(),
            "headers": dict(request.headers),
            "json": request.get_json(force=True, silent=True),
            "length": request.content_length,
        }

    @flask.route("/api/upload", methods=["PUT"])
    @flask.route("/api/upload/<name>", methods=["PUT"])
    def upload(name: str = "") -> dict[str, Any]:
        digest, size = hashlib.sha256(), 0
        stream = request.stream
        # As boto3 does it, in a thread of its own.
        while piece := READERS.submit(stream.read, 65536).result():
            digest.update(piece)
            size += len(piece)
            UPLOADED[name] = size
        UPLOADED[name] = -1
        return {"size": size, "digest": digest.hexdigest(), "length": request.content_length}

    @flask.route("/api/endless")
    def endless() -> Response:
        return Response(ENDLESS)


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

    _add_views_of_bodies(flask)
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

    application.mount("/", wsgi_bridge.Bridge(flask))
    flask_shortcut.apply(Server(application, flask, auth))
    server = uvicorn.Server(
        uvicorn.Config(application, port=0, log_level="critical", http=trailers.Protocol)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Client(f"http://127.0.0.1:{port}")
    server.should_exit = True
    thread.join(30)


def speak(client: Client, *parts: bytes, ends: bool = True) -> bytes:
    """Send bytes over a connection of their own; return all that comes, if the server ends it."""
    host, _, port = client.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        received = b""
        for number, part in enumerate(parts):
            if number:
                received += connection.recv(65536)
            connection.sendall(part)
        while ends and (piece := connection.recv(65536)):
            received += piece
    return received


def chunks(body: bytes, size: int) -> Iterator[bytes]:
    """Give a body piece by piece: requests sends it without a length then."""
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize("path", ECHOES)
@pytest.mark.parametrize("method", WITH_BODY)
def test_body_without_length_equals_body_with_length(
    client: Client, method: str, path: str
) -> None:
    body = json.dumps(BODY).encode()
    with_length = client.ask(method, path, data=body).json()
    without = client.ask(method, path, data=chunks(body, 700)).json()
    assert without["json"] == BODY
    assert without["length"] == len(body)
    for answer in (with_length, without):
        answer["headers"].pop("Content-Length", None)
    assert "Transfer-Encoding" not in without["headers"]
    assert without == with_length


@pytest.mark.parametrize("path", ["/api/upload", "/api/upload/x"])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_long_body_is_read_while_it_comes(client: Client, framing: str, path: str) -> None:
    name = path.removeprefix("/api/upload").strip("/")
    content = bytes(range(256)) * (LONG // 64)
    UPLOADED.pop(name, None)

    def body() -> Iterator[bytes]:
        yield content[:-1]
        wait_until(lambda: UPLOADED.get(name, 0) > LONG)
        yield content[-1:]

    length = {"Content-Length": str(len(content))} if framing == "length" else {}
    host = client.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=10)
    # Without a length it sends chunks.
    connection.request("PUT", path, body=body(), headers=length)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    assert answer["digest"] == hashlib.sha256(content).hexdigest()
    assert answer["length"] == (len(content) if length else None)


def test_long_body_that_breaks_off_is_never_complete(client: Client) -> None:
    UPLOADED.clear()
    head = f"PUT /api/upload/y HTTP/1.1\r\nHost: x\r\nContent-Length: {4 * LONG}\r\n\r\n"
    speak(client, head.encode() + bytes(2 * LONG), ends=False)
    wait_until(lambda: UPLOADED.get("y", 0) >= LONG)
    time.sleep(0.3)
    assert UPLOADED["y"] > 0
    assert client.ask("GET", "/api/short").status_code == 201


@pytest.mark.parametrize(
    ("head", "sent"),
    [
        pytest.param(f"POST /api/echo HTTP/1.1\r\nContent-Length: {2 * LONG}\r\n", LONG, id="echo"),
        pytest.param(f"PUT /api/upload HTTP/1.1\r\nContent-Length: {2 * LONG}\r\n", LONG, id="put"),
        pytest.param("POST /api/echo HTTP/1.1\r\nContent-Length: 9\r\n", 1, id="short"),
        pytest.param("GET /api/endless HTTP/1.1\r\n", 0, id="answer that nobody reads"),
    ],
)
def test_slow_clients_take_no_threads_of_others(client: Client, head: str, sent: int) -> None:
    """anyio has 40 threads, which all requests share by default."""
    host, _, port = client.url.removeprefix("http://").partition(":")
    with ExitStack() as stack:
        for _ in range(45):
            connection = stack.enter_context(socket.create_connection((host, int(port))))
            connection.sendall(f"{head}Host: x\r\n\r\n".encode() + bytes(sent))
        time.sleep(0.5)
        assert client.ask("GET", "/api/short").status_code == 201
    assert client.ask("GET", "/api/short").status_code == 201
    ENDLESS.is_closed.clear()


@pytest.mark.parametrize("path", ECHOES)
def test_client_that_stops_within_a_long_body_is_left(
    client: Client, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wsgi_bridge, "SECONDS_FOR_A_PIECE", 0.2)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {2 * LONG}\r\n\r\n"
    answer = speak(client, head.encode() + bytes(LONG), b"", ends=False)
    assert answer.startswith(b"HTTP/1.1 408 ")


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("path", ECHOES)
def test_request_without_body_has_no_length(client: Client, path: str) -> None:
    answer = client.ask("GET", path).json()
    assert (answer["json"], answer["length"]) == (None, None)
    assert client.ask("POST", path).json()["length"] == 0


@pytest.mark.parametrize("path", ECHOES)
def test_trailer_fields_are_not_header_fields(client: Client, path: str) -> None:
    answer = speak(
        client,
        f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTrailer: X-Late\r\n"
        'Transfer-Encoding: chunked\r\n\r\n7\r\n{"a":1}\r\n0\r\n'
        "X-Late: 1\r\nAuthorization: Basic eDp5\r\n\r\n".encode(),
    )
    repeated = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert repeated["json"] == {"a": 1}
    assert not {"X-Late", "Authorization", "Trailer"} & set(repeated["headers"])


@pytest.mark.parametrize("path", ECHOES)
def test_expectation_of_100_continue_is_met(client: Client, path: str) -> None:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        "Expect: 100-continue\r\nContent-Length: 7\r\n\r\n"
    )
    answer = speak(client, head.encode(), b'{"a":1}')
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")
    assert b'"json":{"a":1}' in answer


@pytest.mark.parametrize("path", ECHOES)
def test_repeated_fields_are_joined_cookies_by_semicolons(client: Client, path: str) -> None:
    answer = speak(
        client,
        f"GET {path} HTTP/1.1\r\nhost: x\r\nCONNECTION: close\r\ncookie: a=1\r\n"
        "Cookie: b=2\r\nx-many: 1\r\nX-MANY: 2\r\nX_Many: 3\r\n\r\n".encode(),
    )
    repeated = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert repeated["cookies"] == {"a": "1", "b": "2"}
    assert repeated["headers"]["X-Many"] == "1,2"


def test_encoded_slash_is_a_slash_of_the_path(client: Client) -> None:
    assert client.ask("GET", "/api%2Fecho").json()["path"] == "/api/echo"
    assert client.ask("GET", "/api/echo%2Fname").json()["name"] == "name"
    assert client.ask("GET", "/api/echo/a%2Fb").status_code == 404


@pytest.mark.parametrize("path", ECHOES)
@pytest.mark.parametrize(
    "head", ["Content-Length: 9", "Transfer-Encoding: chunked"], ids=["length", "chunked"]
)
def test_request_that_breaks_off_is_not_carried_out(client: Client, path: str, head: str) -> None:
    CALLS.clear()
    part = "7\r\n{}     \r\n" if "chunked" in head else "{}     "
    speak(client, f"POST {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n{part}".encode(), ends=False)
    time.sleep(0.3)
    assert client.ask("GET", "/api/short").status_code == 201
    assert CALLS == []


def test_long_answer_is_closed_when_its_client_leaves(client: Client) -> None:
    ENDLESS.is_closed.clear()
    request = b"GET /api/endless HTTP/1.1\r\nHost: x\r\n\r\n"
    speak(client, request, b"", ends=False)
    assert ENDLESS.is_closed.wait(10)


@pytest.mark.parametrize("path", ECHOES)
@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("gzip", gzip.compress),
        ("X-GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body, wbits=-15)),
        ("deflate, gzip", lambda body: gzip.compress(zlib.compress(body))),
        ("gzip", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])),
        ("identity", bytes),
    ],
)
def test_compressed_json_equals_plain_json(
    client: Client, path: str, coding: str, compress: Any
) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8", "Content-Encoding": coding}
    body = compress(json.dumps(BODY).encode())
    for data in (body, chunks(body, 11)):
        answer = client.ask("POST", path, data=data, headers=headers).json()
        assert answer["json"] == BODY
        assert answer["length"] == len(json.dumps(BODY))


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("br", b"x", 415),
        ("gzip, zstd", b"x", 415),
        ("gzip", b"x", 400),
        ("gzip", gzip.compress(b"{}")[:-1], 400),
        ("deflate", b"\xff\xff", 400),
        ("gzip", gzip.compress(bytes(content_coding.MOST_BYTES + 1)), 413),
    ],
)
def test_body_that_cannot_be_decoded_is_refused(
    client: Client, coding: str, body: bytes, status: int
) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = client.ask("POST", "/api/echo", data=body, headers=headers)
    assert answer.status_code == status
    assert answer.text.startswith("Content-Encoding: ")
    assert answer.headers.get("Accept-Encoding") == ("gzip, deflate" if status == 415 else None)


def test_websocket_is_refused() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(wsgi_bridge.Bridge(flask_application())({"type": "websocket"}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1000}]


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

    asked = False

    async def receive() -> Message:
        nonlocal asked
        if asked:
            await asyncio.sleep(60)
        asked = True
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
    asyncio.run(wsgi_bridge.Bridge(application)(scope, receive, send))
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
    routes = flask_shortcut.flask_routes(mlflow_application, mlflow_flask)
    assert ("POST", "/api/2.0/mlflow/runs/search") in routes
    assert ("GET", "/ajax-api/2.0/mlflow/experiments/search") in routes
    # MLflow 3.14 asks for the path only.
    known = len(inspect.signature(auth._find_fastapi_validator).parameters)
    for method, path in routes:
        # None says that FastAPI has no check of its own here: login and permissions are Flask's.
        assert auth._find_fastapi_validator(*(path, method)[:known]) is None, path
        assert "/gateway/" not in path or "/mlflow/gateway/" in path, path


def test_with_workspaces_all_is_as_mlflow_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    application = create_fastapi_app(mlflow_flask)
    before = list(application.user_middleware)
    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
    flask_shortcut.apply(Server(application, mlflow_flask, auth))
    assert application.user_middleware == before
    monkeypatch.delenv("MLFLOW_ENABLE_WORKSPACES")
    flask_shortcut.apply(Server(application, mlflow_flask, auth))
    kinds: list[Any] = [middleware.cls for middleware in application.user_middleware]
    assert BaseHTTPMiddleware not in kinds
    assert kinds[-1] is flask_shortcut.FlaskShortcut
