"""Lead questions to MLflow's Flask application by the shortest way.

MLflow's server is a FastAPI application before a Flask application. What Flask answers passes three
middlewares that are for FastAPI's own routes, and comes back to the event loop piece by piece.
Here such requests pass only what checks hosts and origins, and a short answer comes back in one
piece. Login and permissions of what Flask answers are Flask's, before and after.
"""
# ruff: noqa: INP001  Ansible copies this module to the host, it belongs to no package

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio.from_thread
import anyio.to_thread
from mlflow.environment_variables import MLFLOW_ENABLE_WORKSPACES
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.wsgi import build_environ
from starlette.routing import Match, Mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fastapi import FastAPI
    from flask import Flask
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIXES = ("/api/", "/ajax-api/")
# MLflow's middleware answers to it, with a refusal unless workspaces are on.
WORKSPACE_HEADER = b"x-mlflow-workspace"
# Longer answers, and those of unknown length, are sent on as they come.
LONGEST_IN_ONE_PIECE = 1 << 20


class Bridge:
    """A WSGI application as an ASGI application."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        """Take requests for a WSGI application."""
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request in a thread."""
        pieces = []
        more = True
        while more:
            message = await receive()
            pieces.append(message.get("body", b""))
            more = message.get("more_body", False)
        environ = build_environ(scope, b"".join(pieces))
        for message in await anyio.to_thread.run_sync(self._answer, environ, send):
            await send(message)

    def _answer(self, environ: dict[str, Any], send: Send) -> list[Message]:
        """Return what is to be sent, unless it is long: then it is sent from here."""
        head: Message = {}

        async def forward(message: Message) -> None:
            await send(message)

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
            started = False
            for piece in pieces:
                # WSGI lets an application begin its answer as late as with its first piece.
                if not started:
                    anyio.from_thread.run(forward, head)
                    started = True
                anyio.from_thread.run(
                    forward, {"type": "http.response.body", "body": piece, "more_body": True}
                )
            return [*([] if started else [head]), {"type": "http.response.body", "body": b""}]
        finally:
            if hasattr(pieces, "close"):
                pieces.close()


class Direct:
    """Hands what Flask answers to Flask."""

    def __init__(self, app: ASGIApp, bridge: ASGIApp, questions: frozenset[Question]) -> None:
        """Stand before `app`, which gets all else."""
        self._app, self._bridge, self._questions = app, bridge, questions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        app = self._bridge if is_direct(scope, self._questions) else self._app
        await app(scope, receive, send)


class Sidestep:
    """A middleware that Flask's requests pass by."""

    def __init__(
        self, app: ASGIApp, middleware: Middleware, questions: frozenset[Question]
    ) -> None:
        """Stand before `app`, with the middleware between."""
        self._app, self._questions = app, questions
        self._through = middleware.cls(app, *middleware.args, **middleware.kwargs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        app = self._app if is_direct(scope, self._questions) else self._through
        await app(scope, receive, send)


Question = tuple[str, str]


def is_direct(scope: Scope, questions: frozenset[Question]) -> bool:
    """Say whether a request is for Flask, and for none of FastAPI's middlewares."""
    return (
        scope["type"] == "http"
        and (scope["method"], scope["path"]) in questions
        and not any(name == WORKSPACE_HEADER for name, _ in scope["headers"])
    )


def flask_questions(application: FastAPI, flask: Flask) -> frozenset[Question]:
    """Return method and path of what Flask answers, of all whose path has no variable part."""
    native = [route for route in application.routes if not isinstance(route, Mount)]

    def is_native(method: str, path: str) -> bool:
        scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
        return any(route.matches(scope)[0] == Match.FULL for route in native)

    return frozenset(
        (method, rule.rule)
        for rule in flask.url_map.iter_rules()
        if rule.rule.startswith(PREFIXES) and not rule.arguments
        for method in rule.methods or ()
        if method != "OPTIONS" and not is_native(method, rule.rule)
    )


def shorten(application: FastAPI, flask: Flask) -> None:
    """Let an application of MLflow's answer by this; before its first request."""
    if MLFLOW_ENABLE_WORKSPACES.get():
        # Then one of the middlewares is for Flask's requests as well.
        return
    questions = flask_questions(application, flask)
    for place, middleware in enumerate(application.user_middleware):
        kind: Any = middleware.cls
        if kind is BaseHTTPMiddleware:
            application.user_middleware[place] = Middleware(
                Sidestep, middleware=middleware, questions=questions
            )
    # The last is the innermost.
    application.user_middleware.append(
        Middleware(Direct, bridge=Bridge(flask), questions=questions)
    )


def _refuse_to_write(_piece: bytes) -> object:
    raise NotImplementedError("Flask returns its answers, it does not write them")
