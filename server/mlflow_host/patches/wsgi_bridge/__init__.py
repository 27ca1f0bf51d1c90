"""Serve MLflow's Flask application behind its FastAPI application, without losing bodies.

Starlette's WSGI adapter drops bodies without a length, and carries out requests that broke off.
This bridge replaces it. It reads long bodies as they come, and returns a short answer in one piece.
"""

from __future__ import annotations

import asyncio
import io
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from werkzeug.exceptions import ClientDisconnected, RequestTimeout

from mlflow_host.patches.wsgi_bridge import content_coding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import Message, Receive, Scope, Send

    from mlflow_host.patches import Server

    Headers = list[tuple[bytes, bytes]]

# Longer bodies are handed on as they come, as are answers of unknown length.
LONGEST_IN_ONE_PIECE = 1 << 20
# A thread waits for the rest of a longer body. These are apart from those of all other requests, so
# slow clients can take no more of them, and a client that stops is left.
THREADS_OF_STREAMS = 20
SECONDS_FOR_A_PIECE = 60.0
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
        self._streams: anyio.CapacityLimiter | None = None

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
        answer = await anyio.to_thread.run_sync(
            self._answer, environ, limiter=None if is_whole else self._limiter_of_streams()
        )
        await answer.send(receive, send)

    def _answer(self, environ: dict[str, Any]) -> Answer:
        """Ask the application; a short answer is complete then."""
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
        length = dict(head.get("headers", ())).get(b"content-length")
        if length is None or int(length) > LONGEST_IN_ONE_PIECE:
            return Answer(head, pieces)
        try:
            return Answer(head, [b"".join(pieces)], is_whole=True)
        finally:
            _close(pieces)

    def _limiter_of_streams(self) -> anyio.CapacityLimiter:
        # It belongs to the event loop, which does not run yet when the bridge is made.
        if self._streams is None:
            self._streams = anyio.CapacityLimiter(THREADS_OF_STREAMS)
        return self._streams


@dataclass
class Answer:
    """What an application answers.

    Attributes
    ----------
    head
        The first message. WSGI allows an application to fill it as late as with its first piece.
    pieces
        The body.
    is_whole
        Whether the body is one piece that is there already.
    """

    head: Message
    pieces: Iterable[bytes]
    is_whole: bool = False

    async def send(self, receive: Receive, send: Send) -> None:
        """Send it; no thread waits for the client meanwhile."""
        if self.is_whole:
            [body] = self.pieces
            await send(self.head)
            await send({"type": "http.response.body", "body": body})
            return
        # Sending to a client that left succeeds silently, and would read the answer to its end.
        gone = asyncio.ensure_future(_leave(receive))
        try:
            await self._send_as_it_comes(gone, send)
        finally:
            gone.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_close, self.pieces)

    async def _send_as_it_comes(self, gone: asyncio.Future[None], send: Send) -> None:
        pieces = iter(self.pieces)
        started = False
        while (piece := await anyio.to_thread.run_sync(next, pieces, None)) is not None:
            if gone.done():
                return
            if not started:
                await send(self.head)
                started = True
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if not started:
            await send(self.head)
        await send({"type": "http.response.body", "body": b""})


async def _leave(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _close(pieces: Iterable[bytes]) -> None:
    """Close an answer of which nothing more is read."""
    if hasattr(pieces, "close"):
        pieces.close()


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
        RequestTimeout
            If it sent nothing for `SECONDS_FOR_A_PIECE`.
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
        try:
            return await asyncio.wait_for(self._receive(), SECONDS_FOR_A_PIECE)
        except TimeoutError as error:
            raise RequestTimeout from error


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
