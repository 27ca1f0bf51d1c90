"""Serve MLflow's Flask application behind its FastAPI application, without losing bodies.

Starlette's WSGI adapter drops bodies without a length, and carries out requests that broke off.
This bridge replaces it. It reads long bodies as they come, and returns a short answer in one piece.
"""

from __future__ import annotations

import asyncio
import io
import sys
from typing import TYPE_CHECKING, Any

import anyio.from_thread
import anyio.to_thread
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from werkzeug.exceptions import ClientDisconnected

from mlflow_host.patches.wsgi_bridge import content_coding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import Message, Receive, Scope, Send

    from mlflow_host.patches import Server

    Headers = list[tuple[bytes, bytes]]

# Longer bodies are handed on as they come, as are answers of unknown length.
LONGEST_IN_ONE_PIECE = 1 << 20
# RFC 9110 joins repeated fields by commas; RFC 6265 joins cookies by semicolons.
SEPARATORS = {"HTTP_COOKIE": "; "}
# They describe the connection to this server, not the request that it hands on.
HOP_BY_HOP = frozenset({b"connection", b"expect", b"te", b"trailer", b"transfer-encoding"})


class ClientGoneError(Exception):
    """The client closed its connection before its request was complete."""


class Bridge:
    """A WSGI application as an ASGI application."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        """Take requests for a WSGI application."""
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request in a thread; refuse WebSockets, which WSGI cannot serve."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            return
        headers = scope["headers"]
        is_coded = content_coding.is_coded(headers)
        try:
            body, is_whole = await read_body(receive, None if is_coded else LONGEST_IN_ONE_PIECE)
        except ClientGoneError:
            return
        if is_coded:
            try:
                headers, body = content_coding.decode(headers, body)
            except content_coding.EncodingRefusedError as error:
                refusal = PlainTextResponse(str(error), error.status, error.headers)
                await refusal(scope, receive, send)
                return
        environ = make_environ(scope, headers, body)
        if not is_whole:
            _stream_body(environ, headers, body, receive)
        answer = await anyio.to_thread.run_sync(self._answer, environ, receive, send)
        for message in answer:
            await send(message)

    def _answer(self, environ: dict[str, Any], receive: Receive, send: Send) -> list[Message]:
        """Return what is to be sent, unless it is long: then it is sent from here."""
        head: Message = {}

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            if exc_info and head:
                raise exc_info[1].with_traceback(exc_info[2])
            head.update(
                type="http.response.start",
                status=int(status.split(" ", 1)[0]),
                headers=[
                    (name.strip().encode("latin-1").lower(), value.strip().encode("latin-1"))
                    for name, value in headers
                ],
            )
            return _refuse_to_write

        pieces = self._application(environ, start_response)
        try:
            length = dict(head.get("headers", ())).get(b"content-length")
            if length is not None and int(length) <= LONGEST_IN_ONE_PIECE:
                return [head, {"type": "http.response.body", "body": b"".join(pieces)}]
            return _send_as_it_comes(pieces, head, receive, send)
        finally:
            if hasattr(pieces, "close"):
                pieces.close()


def _send_as_it_comes(
    pieces: Iterable[bytes], head: Message, receive: Receive, send: Send
) -> list[Message]:
    """Send an answer from a thread; return the messages that are left to send."""

    async def forward(message: Message) -> None:
        await send(message)

    async def leave() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    # Sending to a client that left succeeds silently, and would read the answer to its end.
    gone = anyio.from_thread.run_sync(asyncio.ensure_future, leave())
    started = False
    try:
        for piece in pieces:
            if gone.done():
                return []
            # WSGI allows an application to begin its answer as late as with its first piece.
            if not started:
                anyio.from_thread.run(forward, head)
                started = True
            anyio.from_thread.run(
                forward, {"type": "http.response.body", "body": piece, "more_body": True}
            )
    finally:
        anyio.from_thread.run_sync(gone.cancel)
    return [*([] if started else [head]), {"type": "http.response.body", "body": b""}]


async def read_body(receive: Receive, most: int | None) -> tuple[bytes, bool]:
    """Return the body of a request, and whether it is the whole body.

    Parameters
    ----------
    receive
        Where the request comes from.
    most
        How many bytes are read before the rest is left to others; None reads all.

    Raises
    ------
    ClientGoneError
        If the client left before: what came until then is not what it meant.
    """
    pieces = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        piece = message.get("body", b"")
        pieces.append(piece)
        size += len(piece)
        more = message.get("more_body", False)
        if not more or (most is not None and size > most):
            return b"".join(pieces), not more


class RequestStream(io.RawIOBase):
    """The body of a request as a file, for threads other than the event loop's.

    Parameters
    ----------
    start
        The part that was read already.
    receive
        Where the rest comes from, in the running event loop.
    """

    def __init__(self, start: bytes, receive: Receive) -> None:
        """Start at the body's beginning."""
        self._left, self._receive = memoryview(start), receive
        self._loop = asyncio.get_running_loop()
        self._is_whole = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; return the number of bytes, 0 at the end.

        Raises
        ------
        ClientDisconnected
            If the client left before the body's end.
        """
        while not self._left and not self._is_whole:
            # Not anyio's way, which knows its own threads only: boto3 reads in one of its own.
            message = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            self._left = memoryview(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    async def _next(self) -> Message:
        return await self._receive()


def _stream_body(environ: dict[str, Any], headers: Headers, start: bytes, receive: Receive) -> None:
    """Let an environment's body go on after its start."""
    environ["wsgi.input"] = io.BufferedReader(RequestStream(start, receive))
    environ.pop("CONTENT_LENGTH", None)
    for field, value in headers:
        if field == b"content-length":
            environ["CONTENT_LENGTH"] = value.decode("latin-1")


def make_environ(scope: Scope, headers: Headers, body: bytes) -> dict[str, Any]:
    """Return the WSGI environment of a request, see PEP 3333.

    Parameters
    ----------
    scope
        The request as ASGI describes it.
    headers
        Its header fields, names in lower case.
    body
        Its body. The length is the body's, however the client framed it.
    """
    root = scope.get("root_path", "")
    path = scope["path"]
    if root and (path == root or path.startswith(f"{root.rstrip('/')}/")):
        path = path[len(root) :]
    name, port = scope.get("server") or ("localhost", 80)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root.encode().decode("latin-1"),
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": name,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if client := scope.get("client"):
        environ["REMOTE_ADDR"] = client[0]
    has_length = bool(body)
    for field, value in headers:
        if field == b"content-length":
            has_length = True
        # With an underscore it would pass for another field in this environment.
        elif field not in HOP_BY_HOP and b"_" not in field:
            _add_header(environ, field.decode("latin-1"), value.decode("latin-1"))
    if has_length:
        environ["CONTENT_LENGTH"] = str(len(body))
    return environ


def _add_header(environ: dict[str, Any], field: str, value: str) -> None:
    """Add a header field; a repeated one is joined to the first."""
    name = field.upper().replace("-", "_")
    if name != "CONTENT_TYPE":
        name = f"HTTP_{name}"
    if name in environ:
        value = f"{environ[name]}{SEPARATORS.get(name, ',')}{value}"
    environ[name] = value


def apply(server: Server) -> None:
    """Serve Flask's routes by this bridge instead of Starlette's adapter."""
    routes = server.application.router.routes
    [place] = [place for place, route in enumerate(routes) if isinstance(route, Mount)]
    routes[place] = Mount("/", app=Bridge(server.flask))


def _refuse_to_write(_piece: bytes) -> object:
    raise NotImplementedError("Flask returns its answers, it does not write them")
