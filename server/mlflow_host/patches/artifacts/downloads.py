"""Answer requests for an artifact in S3: whole, a range of it, or only its header fields.

Flask's and FastAPI's routes share this module, so that both give the same answers. A request
without conditions costs one call to S3. A request with conditions or a range, or one with method
HEAD, first reads the object's description.
"""

from __future__ import annotations

import asyncio
import contextvars
import posixpath
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from flask import Response as FlaskResponse
from flask import request
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow.server import handlers
from mlflow.utils.mime_type_utils import _guess_mime_type
from starlette.responses import StreamingResponse
from werkzeug.http import http_date
from werkzeug.sansio.http import is_resource_modified

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from starlette.types import Receive, Scope, Send
    from werkzeug.datastructures import Headers

    Fields = Mapping[str, str] | Headers

T = TypeVar("T")

PIECE_BYTES = 1 << 20
# A read keeps its thread until S3 answers. The event loop's own threads are few.
_READS = ThreadPoolExecutor(max_workers=32, thread_name_prefix="download")
# What a browser would show of an artifact runs no script, loads nothing and has no origin. Images
# and other parts of MLflow's own pages are not concerned, because their page's policy counts.
SANDBOX = "sandbox; default-src 'none'"
CONDITIONS = (
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "Range",
)
# One range. Several ranges, and those that are malformed, are answered with the whole object.
RANGE = re.compile(
    r"bytes=[ \t]*(?:(?P<first>\d{1,18})-(?P<last>\d{0,18})|-(?P<suffix>\d{1,18}))[ \t]*",
    re.ASCII | re.IGNORECASE,
)


class Store(Protocol):
    """The artifact repository, as far as downloads need it.

    Attributes
    ----------
    preview_bytes
        The largest artifact that is sent; None for any.
    preview_refusal
        Why a larger one is not sent, and the cure.
    """

    preview_bytes: int | None
    preview_refusal: str

    def describe(self, artifact_path: str) -> dict[str, Any]:
        """Return the object's description, as S3 answers HeadObject."""

    def open(self, artifact_path: str, **conditions: str) -> dict[str, Any]:
        """Return the object's description and content, as S3 answers GetObject."""


class Body:
    """The content of an answer, read from S3 piece by piece.

    It is a class and not a generator, because a generator that was never started does not release
    its connection when it is closed.
    """

    def __init__(self, content: Any = None) -> None:
        """Take a body of boto3's; without one the answer is empty."""
        self._content = content
        self._reading = Lock()
        self._closed = False

    def __iter__(self) -> Self:
        """Return itself."""
        return self

    def __next__(self) -> bytes:
        """Return the next piece; an error of S3's ends the connection to the client."""
        try:
            with self._reading:
                has_more = self._content and not self._closed
                piece: bytes = self._content.read(PIECE_BYTES) if has_more else b""
        finally:
            if self._closed:
                self.close()
        if not piece:
            raise StopIteration
        return piece

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give the pieces to an event loop."""
        while piece := await in_thread(next, self, b""):
            yield piece

    def close(self) -> None:
        """Release the connection to S3; a read in progress does so at its end.

        The content would wait for that read, and the event loop with it.
        """
        self._closed = True
        if self._reading.acquire(blocking=False):
            try:
                if self._content:
                    self._content.close()
            finally:
                self._reading.release()


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that asks S3, in a thread of its own; it has the context of the request."""
    call = contextvars.copy_context().run
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_READS, call, function, *arguments)


@dataclass(frozen=True)
class Answer:
    """An answer to a request for an artifact."""

    status: HTTPStatus
    headers: dict[str, str]
    body: Body

    def flask(self) -> FlaskResponse:
        """Return it as a response of Flask's."""
        return FlaskResponse(self.body, self.status, self.headers, direct_passthrough=True)

    def starlette(self) -> StreamingResponse:
        """Return it as a response of Starlette's."""
        return _Streaming(self)


class _Streaming(StreamingResponse):
    """Releases the connection to S3 however the answer ends."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body.pieces(), answer.status, answer.headers)
        self._body = answer.body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._body.close()


def answer_request(store: Store, artifact_path: str, method: str, fields: Fields) -> Answer:
    """Answer a request for an artifact.

    Parameters
    ----------
    store, artifact_path
        The artifact.
    method
        GET or HEAD.
    fields
        The request's header fields; the mapping ignores case.

    Raises
    ------
    MlflowException
        If there is no such artifact, if it is a directory, or if it is larger than what is sent.
    """
    name = posixpath.basename(artifact_path)
    if method != "HEAD" and not any(field in fields for field in CONDITIONS):
        found = store.open(artifact_path)
        if _is_too_large(store, found):
            found["Body"].close()
            raise MlflowException(store.preview_refusal, error_code=PERMISSION_DENIED)
        return Answer(HTTPStatus.OK, _headers(name, found), Body(found["Body"]))
    found = store.describe(artifact_path)
    headers = _headers(name, found)
    if status := _failed_precondition(found, fields):
        kept = ("Accept-Ranges", "Cache-Control", "ETag", "Last-Modified")
        return Answer(status, {field: headers[field] for field in kept}, Body())
    if method == "HEAD":
        return Answer(HTTPStatus.OK, headers, Body())
    if _is_too_large(store, found):
        raise MlflowException(store.preview_refusal, error_code=PERMISSION_DENIED)
    # What was described is what is sent, also if somebody replaces the object in between.
    conditions = {"IfMatch": found["ETag"]}
    wanted = _wanted_range(found, fields)
    if wanted is None:
        found = store.open(artifact_path, **conditions)
        return Answer(HTTPStatus.OK, headers, Body(found["Body"]))
    size = found["ContentLength"]
    if not wanted:
        return Answer(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            {"Content-Length": "0", "Content-Range": f"bytes */{size}"},
            Body(),
        )
    part = f"bytes={wanted.start}-{wanted.stop - 1}"
    found = store.open(artifact_path, Range=part, **conditions)
    headers["Content-Length"] = str(len(wanted))
    headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{size}"
    return Answer(HTTPStatus.PARTIAL_CONTENT, headers, Body(found["Body"]))


def answer_flask(store: Store, artifact_path: str) -> FlaskResponse:
    """Answer the request that Flask is working at."""
    return answer_request(store, artifact_path, request.method, request.headers).flask()


def _is_too_large(store: Store, found: dict[str, Any]) -> bool:
    return store.preview_bytes is not None and found["ContentLength"] > store.preview_bytes


def _headers(name: str, found: dict[str, Any]) -> dict[str, str]:
    """Return the header fields of the whole object; the first four are MLflow's."""
    return {
        "Content-Type": _guess_mime_type(name),
        "Content-Length": str(found["ContentLength"]),
        "Content-Disposition": handlers._content_disposition_attachment(name),  # noqa: SLF001  as MLflow's own routes
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": SANDBOX,
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-cache",
        "ETag": found["ETag"],
        "Last-Modified": http_date(found["LastModified"]),
    }


def _failed_precondition(found: dict[str, Any], fields: Fields) -> HTTPStatus | None:
    """Return 304 or 412 if the request's conditions are not met."""
    if is_resource_modified(
        http_if_modified_since=fields.get("If-Modified-Since"),
        http_if_none_match=fields.get("If-None-Match"),
        http_if_match=fields.get("If-Match"),
        etag=found["ETag"],
        last_modified=found["LastModified"],
    ):
        return None
    return HTTPStatus.PRECONDITION_FAILED if "If-Match" in fields else HTTPStatus.NOT_MODIFIED


def _wanted_range(found: dict[str, Any], fields: Fields) -> range | None:
    """Return the bytes that are asked for; an empty range is unsatisfiable, None is the whole."""
    match = RANGE.fullmatch(fields.get("Range", ""))
    # RFC 9110, section 13.1.5: an exact match, of the date as well.
    unchanged = ("", found["ETag"], http_date(found["LastModified"]))
    if match is None or fields.get("If-Range", "").strip() not in unchanged:
        return None
    size = found["ContentLength"]
    if match["suffix"]:
        return range(max(size - int(match["suffix"]), 0), size)
    first, last = int(match["first"]), int(match["last"] or size)
    if match["last"] and last < first:
        return None
    return range(min(first, size), min(last + 1, size))
