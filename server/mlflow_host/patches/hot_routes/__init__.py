"""Answer the requests that a training job waits for with one statement of SQL.

The requests that create a run, log to it, end it and return it pass no router, no Flask and no
SQLAlchemy here. Only a request in the form of MLflow's own client, by a user whom MLflow has
allowed the same before, is answered here, and only if it succeeds. All others, and so all errors,
are MLflow's, which gets the request as it came. docs/patches.md names the routes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from mlflow.environment_variables import MLFLOW_ENABLE_WORKSPACES
from mlflow.server import handlers
from mlflow.server.auth.config import DEFAULT_AUTHORIZATION_FUNCTION
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from starlette.middleware import Middleware

from mlflow_host import audit
from mlflow_host.logs import current
from mlflow_host.patches.hot_routes import batch, requests, runs
from mlflow_host.patches.hot_routes.counters import Counters
from mlflow_host.patches.hot_routes.database import (
    Database,
    RefusedError,
    UnknownOutcomeError,
    connect_arguments,
)
from mlflow_host.patches.hot_routes.logins import Logins, Target
from mlflow_host.patches.read_only import is_refused
from mlflow_host.patches.wsgi_bridge import LONGEST_IN_ONE_PIECE, ClientGoneError, read_body
from mlflow_host.settings import setting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from mlflow_host.patches import Server
    from mlflow_host.patches.hot_routes.logins import Lesson, Ticket

# Number of connections of a worker to the database that are kept for these routes.
CONNECTIONS = "MLFLOW_HOST_HOT_CONNECTIONS"
PREFIXES = ("/api/2.0/mlflow/runs/", "/ajax-api/2.0/mlflow/runs/")
JSON = re.compile(rb"application/json(; ?charset=utf-8)?", re.IGNORECASE)
# A workspace, a compressed body, and a script in a browser.
OWN_RULES = frozenset({b"x-mlflow-workspace", b"content-encoding", b"origin"})
# Reading more would let all other requests wait; a thread does it.
LONGEST_ON_THE_LOOP = 1 << 14
# Its presence changes how a body is read.
WITH_BODY = (b"content-length", b"transfer-encoding")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Route:
    """A route that is answered here.

    Attributes
    ----------
    action
        The name of MLflow's function for it, as the audit trail has it.
    access
        Kind of access, as far as MLflow's permissions differ.
    parse
        Reads a request.
    answer
        Carries it out; None if nothing was done.
    """

    action: str
    access: str
    parse: Callable[[Any], Any]
    answer: Callable[[Database, Any, Ticket], Awaitable[bytes | None]]


ROUTES = {
    ("GET", "get"): Route("get_run", "read", requests.get, runs.get),
    ("POST", "create"): Route("create_run", "create", requests.create, runs.create),
    ("POST", "update"): Route("update_run", "update", requests.update, runs.update),
    ("POST", "log-metric"): Route("log_metric", "update", requests.log_metric, batch.log),
    ("POST", "log-parameter"): Route("log_param", "update", requests.log_parameter, batch.log),
    ("POST", "log-batch"): Route("log_batch", "update", requests.log_batch, batch.log),
    ("POST", "set-tag"): Route("set_tag", "update", requests.set_tag, batch.log),
}
BY_PATH = {
    (method, f"{prefix}{name}"): route
    for (method, name), route in ROUTES.items()
    for prefix in PREFIXES
}


@dataclass(frozen=True)
class Outcome:
    """What became of a request: an answer, or something that MLflow's answer teaches."""

    answer: bytes | None = None
    status: int = HTTPStatus.OK
    lesson: Lesson | None = None


class HotRoutes:
    """A middleware behind the checks of hosts and origins, in front of Flask."""

    def __init__(self, app: ASGIApp, database: Database, counters: Counters) -> None:
        """Hand to `app` what is not answered here."""
        self._app, self._database, self._counters = app, database, counters
        self._logins = Logins(database)
        # One at a time, so that those who log much leave threads and connections to others.
        self._large = asyncio.Semaphore(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        route = BY_PATH.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        header = login_of(scope) if route else None
        if route is None or header is None:
            await self._app(scope, receive, send)
            return
        body, is_whole = b"", True
        if scope["method"] == "POST":
            try:
                body, is_whole = await read_body(receive, LONGEST_IN_ONE_PIECE)
            except ClientGoneError:
                return
            receive = replay(body, receive, is_whole=is_whole)
        outcome = Outcome()
        if is_whole and len(body) > LONGEST_ON_THE_LOOP:
            async with self._large:
                outcome = await self._carry_out(route, scope, header, body)
        elif is_whole:
            outcome = await self._carry_out(route, scope, header, body)
        if outcome.answer is not None:
            await send_json(send, outcome.status, outcome.answer)
        elif outcome.lesson:
            await self._learn(outcome.lesson, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _carry_out(self, route: Route, scope: Scope, header: bytes, body: bytes) -> Outcome:
        """Carry a request out, if it is known how."""
        started = time.perf_counter()
        if len(body) > LONGEST_ON_THE_LOOP:
            content, wanted = await anyio.to_thread.run_sync(read, route, scope, body)
        else:
            content, wanted = read(route, scope, body)
        if wanted is None:
            return Outcome()
        target = Target(route.access, getattr(wanted, "run", ""), getattr(wanted, "experiment", -1))
        ticket = self._logins.ticket(header, target)
        if ticket is None:
            return Outcome(lesson=await self._logins.begin(header, target))
        if is_refused(ticket.username, scope["method"], scope["path"]):
            return Outcome()
        outcome = await self._ask(route, wanted, ticket)
        if outcome is None:
            self._logins.forget(header, target, ticket)
            return Outcome()
        if outcome.answer is not None:
            note(route, ticket, content)
            self._counters.count(scope, started, outcome.status)
        return outcome

    async def _ask(self, route: Route, wanted: Any, ticket: Ticket) -> Outcome | None:
        """Return an outcome, None if the statement has found a reason to do nothing."""
        try:
            answer = await route.answer(self._database, wanted, ticket)
        except RefusedError:
            return Outcome()
        except UnknownOutcomeError as error:
            return self._unknown(route, error)
        return None if answer is None else Outcome(answer)

    @staticmethod
    def _unknown(route: Route, error: UnknownOutcomeError) -> Outcome:
        """Say that the connection broke, or let MLflow repeat what has no second effect."""
        if route.access != "create":
            return Outcome()
        logger.error("The connection broke while a run was created: %s", error.__cause__)
        message = {"error_code": "TEMPORARILY_UNAVAILABLE", "message": str(error.__cause__)}
        return Outcome(json.dumps(message).encode(), HTTPStatus.SERVICE_UNAVAILABLE)

    async def _learn(self, lesson: Lesson, scope: Scope, receive: Receive, send: Send) -> None:
        """Let MLflow answer, and remember that it has allowed the request."""
        status = HTTPStatus.INTERNAL_SERVER_ERROR.value

        async def forward(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, forward)
            if status == HTTPStatus.OK:
                await self._logins.finish(lesson)
        finally:
            self._logins.end(lesson.key)


def read(route: Route, scope: Scope, body: bytes) -> tuple[Any, Any]:
    """Return what a request holds, and what it asks for; None if MLflow is to answer it."""
    content = content_of(scope, body)
    return content, requests.read(route.parse, content)


def content_of(scope: Scope, body: bytes) -> Any:
    """Return what a body's JSON holds, None if it is not valid, or the query without a body."""
    if scope["method"] != "POST":
        return scope["query_string"].decode("latin-1")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def login_of(scope: Scope) -> bytes | None:
    """Return the login of a request in plain form, None if MLflow is to answer the request."""
    headers = scope["headers"]
    has_body = scope["method"] == "POST"
    logins = [value for name, value in headers if name == b"authorization"]
    kinds = [value for name, value in headers if name == b"content-type"]
    if (
        len(logins) != 1
        or logins[0][:6].lower() != b"basic "
        or scope.get("root_path")
        or (scope["query_string"] and has_body)
        or (has_body and not (len(kinds) == 1 and JSON.fullmatch(kinds[0])))
        or any(name in OWN_RULES or (name in WITH_BODY and not has_body) for name, _ in headers)
    ):
        return None
    return logins[0]


def replay(body: bytes, receive: Receive, *, is_whole: bool) -> Receive:
    """Return a source that begins with what was read already."""
    is_read = False

    async def receive_again() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": not is_whole}

    return receive_again


async def send_json(send: Send, status: int, body: bytes) -> None:
    """Send an answer with the header fields of Flask's."""
    await send({
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ],
    })  # fmt: skip
    await send({"type": "http.response.body", "body": body})


def note(route: Route, ticket: Ticket, content: Any) -> None:
    """Keep for log and audit trail what Flask's hooks keep of a request."""
    request = current.get()
    if request:
        request.user, request.action = ticket.username, route.action
        request.objects = audit.objects(content if isinstance(content, dict) else None)


def apply(server: Server) -> None:
    """Answer these routes unless workspaces, another login or another database are in use."""
    store: Any = handlers._get_tracking_store()  # noqa: SLF001  MLflow's handlers use it, too
    config = server.auth.auth_config
    if (
        MLFLOW_ENABLE_WORKSPACES.get()
        or config.authorization_function != DEFAULT_AUTHORIZATION_FUNCTION
        or config.read_database_uri
        or config.database_uri != store.db_uri
        or type(store) is not SqlAlchemyStore
        or store.read_engine is not None
    ):
        return
    # The last is the innermost.
    database = Database(connect_arguments(store.engine), int(setting(CONNECTIONS)))
    server.application.user_middleware.append(
        Middleware(HotRoutes, database=database, counters=Counters(server.flask))
    )
