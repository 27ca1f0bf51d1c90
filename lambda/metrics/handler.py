"""GET /metrics: an event of API Gateway's HTTP API (payload 2.0) in, an HTTP answer out."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import os
import re
import time
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from exposition import render
from negotiation import preferred_format, takes_gzip
from settings import Database, Selection
from store import Store, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PLAIN = "text/plain; charset=utf-8"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)

# Lambda passes no larger answer on, counted as the JSON that it makes of it.
_LIMIT_BYTES = 6 * 1024 * 1024
# The most characters that JSON writes for one of ours: "\\n" in ASCII, "\\ud83d\\ude00" otherwise.
_ASCII_GROWTH = 2
_UNICODE_GROWTH = 12


class Answer(NamedTuple):
    """An HTTP answer before it is encoded."""

    status: HTTPStatus
    body: str
    content_type: str = _PLAIN
    headers: tuple[tuple[str, str], ...] = ()

    def encode(self, *, head: bool, compress: bool) -> dict[str, Any]:
        """Return the answer in the form of payload 2.0.

        Raises
        ------
        TooLargeError
            If Lambda would not pass it on.
        """
        headers = {
            "content-type": self.content_type,
            "vary": "accept, accept-encoding",
            **dict(self.headers),
        }
        if compress:
            headers["content-encoding"] = "gzip"
        body, packed = ("", False) if head else (self.body, compress)
        if packed:
            content = gzip.compress(body.encode(), compresslevel=1, mtime=0)
            body = base64.b64encode(content).decode()
        answer = {
            "statusCode": self.status.value,
            "headers": headers,
            "body": body,
            "isBase64Encoded": packed,
        }
        growth = _ASCII_GROWTH if body.isascii() else _UNICODE_GROWTH
        surely_at_most = len(body) * growth + 1000
        if surely_at_most > _LIMIT_BYTES and len(json.dumps(answer)) > _LIMIT_BYTES:
            raise TooLargeError(packed=packed)
        return answer


class TooLargeError(Exception):
    """The answer is larger than Lambda passes on; `answer` says so instead."""

    def __init__(self, *, packed: bool) -> None:
        super().__init__()
        self.answer = (
            Answer(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the answer is larger than the 6 MB that Lambda passes on: serve fewer series\n",
            )
            if packed
            else Answer(
                HTTPStatus.NOT_ACCEPTABLE,
                "the answer is larger than the 6 MB that Lambda passes on: take it with"
                " Accept-Encoding: gzip\n",
            )
        )


class Endpoint:
    """The endpoint with its connection to the database."""

    def __init__(self, store: Store, tags: Sequence[str], token_sha256: str) -> None:
        self._store = store
        self._tags = tags
        self._token_sha256 = token_sha256

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Endpoint:
        """Read the settings that this directory's README lists.

        Raises
        ------
        KeyError
            If one is missing.
        ValueError
            If one has no usable value.
        """
        digest = environment["METRICS_TOKEN_SHA256"]
        if not _DIGEST.fullmatch(digest):
            raise ValueError("METRICS_TOKEN_SHA256 is not a SHA-256, 64 lower-case hex digits")
        selection = Selection.from_environment(environment)
        store = Store(Database.from_environment(environment), selection)
        return cls(store, selection.tags, digest)

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one request and log one line about it."""
        started = time.perf_counter()
        http = event["requestContext"]["http"]
        headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
        method = http["method"]
        request_id = event["requestContext"].get("requestId") or ""
        answer, noted = self._decide(method, headers, request_id)
        head, compress = method == "HEAD", takes_gzip(headers.get("accept-encoding", ""))
        try:
            encoded = answer.encode(head=head, compress=compress)
        except TooLargeError as error:
            answer = error.answer
            encoded = answer.encode(head=head, compress=False)
        encoded["headers"]["x-request-id"] = request_id
        _log(
            request_id=request_id,
            source_ip=http.get("sourceIp"),
            method=method,
            status=answer.status.value,
            seconds=round(time.perf_counter() - started, 6),
            **noted,
        )
        return encoded

    def _decide(
        self, method: str, headers: Mapping[str, str], request_id: str
    ) -> tuple[Answer, dict[str, Any]]:
        """Return the answer and what is to be noted beside it."""
        if method not in {"GET", "HEAD"}:
            allowed = (("allow", "GET, HEAD"),)
            return Answer(
                HTTPStatus.METHOD_NOT_ALLOWED, "Method Not Allowed\n", headers=allowed
            ), {}
        if not self._knows(headers.get("authorization", "")):
            challenge = (("www-authenticate", "Bearer"),)
            return Answer(HTTPStatus.UNAUTHORIZED, "Unauthorized\n", headers=challenge), {}
        try:
            snapshot = self._store.latest(request_id)
        except UnavailableError as error:
            reason = {"reason": str(error), "cause": str(error.__cause__).strip()}
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n"), reason
        form = preferred_format(headers.get("accept", ""))
        noted: dict[str, Any] = {
            "runs": len(snapshot.runs),
            "query_seconds": round(snapshot.query_seconds, 6),
        }
        if snapshot.counts.trouble:
            noted["counts"] = snapshot.counts.trouble
        if snapshot.models.trouble:
            noted["models"] = snapshot.models.trouble
        return Answer(HTTPStatus.OK, render(snapshot, self._tags, form), form.value), noted

    def _knows(self, authorization: str) -> bool:
        """Whether the request carries the token, compared in constant time."""
        bearer = _BEARER.fullmatch(authorization)
        if not bearer:
            return False
        # JSON can carry half a surrogate pair, which a token never holds.
        token = bearer[1].encode(errors="surrogatepass")
        return hmac.compare_digest(hashlib.sha256(token).hexdigest(), self._token_sha256)


@cache
def _endpoint() -> Endpoint:
    """Make the endpoint once in the life of this process."""
    return Endpoint.from_environment(os.environ)


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Lambda's way in."""
    return _endpoint().answer(event)


def _log(**fields: object) -> None:
    """Write one line of JSON for CloudWatch; what comes from the client is method and address."""
    print(json.dumps({"message": "request", **fields}, ensure_ascii=False))
