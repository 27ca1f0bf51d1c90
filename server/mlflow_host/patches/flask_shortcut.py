"""Let requests that Flask answers skip the middlewares that serve FastAPI's routes only.

MLflow's server is a FastAPI application in front of a Flask application. Three of its middlewares
wrap each request in tasks and queues, and then leave Flask's requests as they are. Here Flask's
requests pass only the middlewares that check hosts and origins. Login and permissions for Flask's
routes are Flask's own hooks, so they are not skipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflow.environment_variables import MLFLOW_ENABLE_WORKSPACES
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Match, Mount

if TYPE_CHECKING:
    from fastapi import FastAPI
    from flask import Flask
    from starlette.types import ASGIApp, Receive, Scope, Send

    from mlflow_host.patches import Server

# Method and path.
Route = tuple[str, str]

PREFIXES = ("/api/", "/ajax-api/")
# MLflow's middleware answers requests that have it, with a refusal unless workspaces are on.
WORKSPACE_HEADER = b"x-mlflow-workspace"


class FlaskShortcut:
    """The innermost middleware: it hands Flask's requests to Flask, past FastAPI's router."""

    def __init__(self, app: ASGIApp, flask: ASGIApp, routes: frozenset[Route]) -> None:
        """Hand requests for `routes` to `flask`, all others to `app`."""
        self._app, self._flask, self._routes = app, flask, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        app = self._flask if takes_shortcut(scope, self._routes) else self._app
        await app(scope, receive, send)


class SkippedForFlask:
    """A middleware of MLflow's that Flask's requests skip."""

    def __init__(self, app: ASGIApp, middleware: Middleware, routes: frozenset[Route]) -> None:
        """Hand requests for `routes` to `app`, all others to the middleware before it."""
        self._app, self._routes = app, routes
        self._through = middleware.cls(app, *middleware.args, **middleware.kwargs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        app = self._app if takes_shortcut(scope, self._routes) else self._through
        await app(scope, receive, send)


def takes_shortcut(scope: Scope, routes: frozenset[Route]) -> bool:
    """Return whether a request is for Flask, and needs none of FastAPI's middlewares."""
    return (
        scope["type"] == "http"
        and (scope["method"], scope["path"]) in routes
        and not any(name == WORKSPACE_HEADER for name, _ in scope["headers"])
    )


def flask_routes(application: FastAPI, flask: Flask) -> frozenset[Route]:
    """Return the routes of Flask's whose path has no variable part, and that FastAPI lacks."""
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


def apply(server: Server) -> None:
    """Add the shortcut; it leads to what serves Flask's routes by then."""
    if MLFLOW_ENABLE_WORKSPACES.get():
        # Then one of the middlewares is for Flask's requests as well.
        return
    application = server.application
    [bridge] = [route.app for route in application.routes if isinstance(route, Mount)]
    routes = flask_routes(application, server.flask)
    for place, middleware in enumerate(application.user_middleware):
        kind: Any = middleware.cls
        if kind is BaseHTTPMiddleware:
            application.user_middleware[place] = Middleware(
                SkippedForFlask, middleware=middleware, routes=routes
            )
    # The last is the innermost.
    application.user_middleware.append(Middleware(FlaskShortcut, flask=bridge, routes=routes))
