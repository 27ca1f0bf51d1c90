"""Record in the audit trail what requests change, and whom the server refuses.

Names and ids of objects come from the request's path, query and body, and from the answer, where
`mlflow_host.audit` lists their fields. Nothing else of either is recorded.
"""

from __future__ import annotations

import json
import os
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from flask import request as flask_request

from mlflow_host import audit
from mlflow_host.logs import current
from mlflow_host.patches.read_only import only_reads

if TYPE_CHECKING:
    from flask import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from mlflow_host.audit import Trail
    from mlflow_host.patches import Server

# Longer JSON is not read for names by FastAPI's routes, nor in answers.
LONGEST_BODY = 1 << 18
# Bodies of other routes are artifacts, traces and what users ask models.
WITH_NAMES = ("/api/", "/ajax-api/")
EXPERIMENT = b"x-mlflow-experiment-id"
# S3 then answers to everybody who has the address, and this trail is the only record of it.
SIGNING = re.compile(
    r"/(ajax-)?api/2\.0/(mlflow-artifacts/presigned/.+|mlflow/artifacts/presigned-download-url)",
    re.ASCII | re.DOTALL,
)


class Body:
    """The body of a JSON message, unless it is too long."""

    def __init__(self) -> None:
        """Start empty."""
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Keep a piece as long as all of them are short."""
        self._size += len(piece)
        if self._size <= LONGEST_BODY:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    def content(self) -> Any:
        """Return what the JSON holds, None if it is not valid or nested too deeply."""
        try:
            return json.loads(b"".join(self._pieces))
        except (ValueError, RecursionError):
            return None


class Audit:
    """A middleware around the whole application, within that of the ids."""

    def __init__(self, app: ASGIApp, trail: Trail, *, reads: bool) -> None:
        """Record requests to a trail; `reads` says whether those that change nothing as well."""
        self._app, self._trail, self._reads = app, trail, reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and record it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        reads = only_reads(scope["method"], scope["path"])
        sent, said = Body(), Body()
        status = HTTPStatus.INTERNAL_SERVER_ERROR.value

        async def hear() -> Message:
            message = await receive()
            sent.add(message.get("body", b""))
            return message

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not reads:
                said.add(message.get("body", b""))
            await send(message)

        try:
            if reads or not scope["path"].startswith(WITH_NAMES) or not is_json(scope):
                await self._app(scope, receive, answer)
            else:
                await self._app(scope, hear, answer)
        finally:
            if self._reads or not reads or signs(scope["path"]) or is_refused(scope, status):
                self._record(scope, status, sent, said)

    def _record(self, scope: Scope, status: int, sent: Body, said: Body) -> None:
        request = current.get()
        if not request:
            return
        # Flask's own routes have their objects already.
        body = None if request.action else sent.content()
        answer = said.content() if status < HTTPStatus.BAD_REQUEST else None
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        experiment = dict(scope["headers"]).get(EXPERIMENT)
        found = audit.objects(
            request.objects,
            scope.get("path_params"),
            query,
            body if isinstance(body, dict) else None,
            {"experiment_id": experiment.decode("latin-1")} if experiment else None,
        )
        endpoint = scope.get("endpoint")
        self._trail.record(
            request_id=request.id,
            program="server",
            user=request.user or scope.get("state", {}).get("username"),
            client=(scope.get("client") or (None,))[0],
            action=request.action or getattr(endpoint, "__name__", None),
            method=scope["method"],
            path=scope["path"][:1024],
            objects={**audit.answered(answer), **found},
            status=status,
            result=audit.result(status),
        )


def signs(path: str) -> bool:
    """Say whether a request asks for an address with which its holder reads without a login."""
    return SIGNING.fullmatch(path) is not None


def is_json(scope: Scope) -> bool:
    """Say whether a request's body is JSON, or does not say what it is."""
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    return not kinds or b"json" in kinds[0].lower()


def is_refused(scope: Scope, status: int) -> bool:
    """Say whether a login or a permission was refused; a request without a login was only asked."""
    return status == HTTPStatus.FORBIDDEN or (
        status == HTTPStatus.UNAUTHORIZED
        and any(name == b"authorization" for name, _ in scope["headers"])
    )


def note_action(response: Response) -> Response:
    """Keep the name of Flask's function and the objects that only Flask knows."""
    request = current.get()
    if request:
        rule = flask_request.url_rule
        if rule:
            name = rule.endpoint.strip("_")
            # The function for the form of new users has no name of its own.
            request.action = name if name.isidentifier() else rule.rule.rpartition("/")[2]
        request.objects = audit.objects(flask_request.view_args, _json(response))
    return response


def _json(response: Response) -> dict[str, Any] | None:
    """Return the body of a request that changes something; a long one if MLflow has parsed it."""
    length = flask_request.content_length
    is_short = length is not None and length <= LONGEST_BODY
    if (
        only_reads(flask_request.method, flask_request.path)
        or not (flask_request.is_json or (is_short and not flask_request.mimetype))
        or not (is_short or response.status_code < HTTPStatus.BAD_REQUEST)
    ):
        return None
    # boto3 closes what it has uploaded.
    if flask_request.stream.closed:
        return None
    try:
        content = flask_request.get_json(force=True, silent=True)
    # Nested too deeply; Flask is silent about other errors only.
    except RecursionError:
        return None
    return content if isinstance(content, dict) else None


def apply(server: Server) -> None:
    """Put the trail around the whole application, unless it is off."""
    trail = audit.open_trail()
    if not trail:
        return
    reads = os.environ.get(audit.READS) == "true"
    application = server.application
    build = application.build_middleware_stack
    application.build_middleware_stack = lambda: Audit(build(), trail, reads=reads)  # type: ignore[method-assign]
    server.flask.after_request(note_action)
