"""Refuse requests that change something to users who are only allowed to read.

MLflow lets everyone who may read also create experiments and models of their own. Here the users
whom a file names are refused all requests but those that only read, after MLflow's own login and on
every route, Flask's and FastAPI's. A request that is not known to only read is refused, so what a
later release of MLflow adds is refused as well until it is listed here.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Response, g, request
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from mlflow_host.patches import Server

REFUSAL = "This user may only read"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Searches whose criteria are too long for a URL. One path of MLflow's lacks a slash.
READING_POSTS = re.compile(
    r"/graphql"
    r"|/ajax-api/3\.0/jobs/search"
    r"|/(ajax-)?api/\d\.\d/?mlflow/("
    r"(experiments|runs|logged-models|registered-models|model-versions|traces|datasets|issues)/search"
    r"|experiments/search-datasets"
    r"|prompt-optimization/jobs/search"
    r"|registered-models/get-latest-versions"
    r"|artifacts/presigned-download-url"
    r"|traces/(batchGetInfos|calculate-filter-correlation|metrics)"
    r")",
    re.ASCII,
)


@dataclass
class NameList:
    """Names in a file, one in each line, read again whenever the file has changed."""

    path: Path
    _names: frozenset[str] = frozenset()
    _stamp: tuple[int, int] = field(default=(0, 0))

    def __contains__(self, name: object) -> bool:
        """Say whether the file holds the name."""
        found = self.path.stat()
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp != self._stamp:
            self._names = frozenset(self.path.read_text().splitlines())
            self._stamp = stamp
        return name in self._names


def only_reads(method: str, path: str) -> bool:
    """Say whether a request changes nothing."""
    return method in SAFE_METHODS or (
        method == "POST" and READING_POSTS.fullmatch(path) is not None
    )


read_only_users = NameList(Path(os.environ["MLFLOW_HOST_READ_ONLY_USERS"]))


def is_refused(username: str | None, method: str, path: str) -> bool:
    """Say whether a user may only read, and asks for more."""
    return username in read_only_users and not only_reads(method, path)


def refuse_readers_in_flask() -> Response | None:
    """Answer 403 to a reader who would change something; MLflow has logged the user in."""
    if is_refused(g.get("mlflow_authenticated_user"), request.method, request.path):
        return Response(REFUSAL, HTTPStatus.FORBIDDEN, mimetype="text/plain")
    return None


class RefuseReaders:
    """The same for FastAPI's own routes, as a middleware behind MLflow's login."""

    def __init__(self, app: ASGIApp) -> None:
        """Take requests that MLflow has let pass."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        username = scope.get("state", {}).get("username")
        if scope["type"] == "http" and is_refused(username, scope["method"], scope["path"]):
            await PlainTextResponse(REFUSAL, HTTPStatus.FORBIDDEN)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def require_basic_login(auth: Any) -> Any:
    """Return a Flask hook that answers 401 to what is no Basic login; MLflow answers 500.

    Parameters
    ----------
    auth
        MLflow's module `mlflow.server.auth`.
    """

    def refuse_other_schemes() -> Any:
        login = request.authorization
        if login is None or auth.is_unprotected_route(request.path):
            return None
        values = (login.username, login.password) if login.type == "basic" else (None,)
        # PostgreSQL has no text with a NUL.
        if any(value is None or "\0" in value for value in values):
            return auth.make_basic_auth_response()
        return None

    return refuse_other_schemes


def apply(server: Server) -> None:
    """Refuse readers on the routes of Flask and of FastAPI, after MLflow's login."""
    hooks = server.flask.before_request_funcs.setdefault(None, [])
    hooks.insert(0, require_basic_login(server.auth))
    hooks.append(refuse_readers_in_flask)
    # The last is the innermost: the login is before it.
    server.application.user_middleware.append(Middleware(RefuseReaders))
