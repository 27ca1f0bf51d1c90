"""Give each request an id that the answer, the log and the database's statements carry.

The proxy sends its own id in `X-Request-Id`, whatever the client has sent. A request that does not
come through the proxy, or whose id is not one, gets an id here. PostgreSQL's log shows statements
with their comments, so it shows the id as well.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import g
from sqlalchemy import Engine, event

from mlflow_host.logs import Request, current, log_event

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from mlflow_host.patches import Server

FIELD = b"x-request-id"
# Nothing that ends a comment or a text of SQL, or that a driver takes for a parameter.
VALID = re.compile(rb"[0-9A-Za-z-]{8,64}")

logger = logging.getLogger("mlflow_host.access")


class RequestIds:
    """The outermost of the application: what is inside knows the request's id."""

    def __init__(self, app: ASGIApp) -> None:
        """Take all requests of a server."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and log one line about it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(request_id(scope["headers"]))
        status = HTTPStatus.INTERNAL_SERVER_ERROR.value
        started = time.perf_counter()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                fields = [*message.get("headers", ()), (FIELD, request.id.encode())]
                message = {**message, "headers": fields}
            await send(message)

        token = current.set(request)
        try:
            await self._app(scope, receive, answer)
        finally:
            # FastAPI's routes keep the user's name here, Flask's in the request itself.
            user = request.user or scope.get("state", {}).get("username")
            log_event(
                logger,
                "request",
                method=scope["method"],
                # Without the query, which may have secrets.
                path=scope["path"],
                status=status,
                seconds=round(time.perf_counter() - started, 6),
                client=(scope.get("client") or (None,))[0],
                user=user,
            )
            current.reset(token)


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id that the proxy gave, or a new one if there is none that is valid."""
    given = [value for name, value in headers if name == FIELD]
    if len(given) == 1 and VALID.fullmatch(given[0]):
        return given[0].decode()
    return str(uuid.uuid4())


def add_comment(
    _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any
) -> tuple[str, Any]:
    """Add the id to a statement as sqlcommenter writes it; outside of requests, add nothing.

    https://google.github.io/sqlcommenter/spec/
    """
    request = current.get()
    if request:
        statement = f"{statement} /*request_id='{request.id}'*/"
    return statement, parameters


def note_user(response: Response) -> Response:
    """Keep the name of the user whom Flask's login has let pass, refused or not."""
    request = current.get()
    if request:
        request.user = g.get("mlflow_authenticated_user")
    return response


def apply(server: Server) -> None:
    """Put the ids around the whole application, errors included, and into the statements."""
    application = server.application
    build = application.build_middleware_stack
    application.build_middleware_stack = lambda: RequestIds(build())  # type: ignore[method-assign]
    server.flask.after_request(note_user)
    if not event.contains(Engine, "before_cursor_execute", add_comment):
        event.listen(Engine, "before_cursor_execute", add_comment, retval=True)
