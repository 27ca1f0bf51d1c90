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
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from exposition import CONTENT_TYPE, render
from store import Database, Store, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLAIN = "text/plain; charset=utf-8"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)
_NO_WEIGHT = re.compile(r"q=0(\.0*)?")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer before it is encoded."""

    status: HTTPStatus
    body: str
    content_type: str = _PLAIN
    headers: tuple[tuple[str, str], ...] = ()

    def encode(self, *, head: bool, compress: bool) -> dict[str, Any]:
        """Return the answer as payload 2.0 wants it."""
        headers = {
            "content-type": self.content_type,
            "vary": "accept-encoding",
            **dict(self.headers),
        }
        answer: dict[str, Any] = {"statusCode": self.status.value, "headers": headers}
        if head:
            return answer | {"body": "", "isBase64Encoded": False}
        if not compress:
            return answer | {"body": self.body, "isBase64Encoded": False}
        headers["content-encoding"] = "gzip"
        packed = gzip.compress(self.body.encode(), compresslevel=1, mtime=0)
        return answer | {"body": base64.b64encode(packed).decode(), "isBase64Encoded": True}


class Endpoint:
    """The endpoint with its connection to the database."""

    def __init__(self, store: Store, token_sha256: str) -> None:
        self._store = store
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
            raise ValueError("METRICS_TOKEN_SHA256 is no SHA-256 in 64 small hexadecimal digits")
        return cls(Store(Database.from_environment(environment)), digest)

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one request and log one line about it."""
        started = time.perf_counter()
        http = event["requestContext"]["http"]
        headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
        method = http["method"]
        answer, noted = self._decide(method, headers)
        encoded = answer.encode(
            head=method == "HEAD", compress=_takes_gzip(headers.get("accept-encoding", ""))
        )
        _log(
            request_id=event["requestContext"].get("requestId"),
            source_ip=http.get("sourceIp"),
            method=method,
            status=answer.status.value,
            seconds=round(time.perf_counter() - started, 6),
            **noted,
        )
        return encoded

    def _decide(self, method: str, headers: Mapping[str, str]) -> tuple[Answer, dict[str, Any]]:
        """Return the answer and what is to be noted beside it."""
        if method not in {"GET", "HEAD"}:
            allowed = (("allow", "GET, HEAD"),)
            return Answer(
                HTTPStatus.METHOD_NOT_ALLOWED, "Method Not Allowed\n", headers=allowed
            ), {}
        if not self._knows(headers.get("authorization", "")):
            challenge = (("www-authenticate", "Bearer"),)
            return Answer(HTTPStatus.UNAUTHORIZED, "Unauthorized\n", headers=challenge), {}
        asked = time.perf_counter()
        try:
            snapshot = self._store.latest()
        except UnavailableError as error:
            noted = {"reason": str(error), "cause": str(error.__cause__).strip()}
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n"), noted
        query_seconds = time.perf_counter() - asked
        text = render(snapshot, query_seconds)
        return Answer(HTTPStatus.OK, text, CONTENT_TYPE), {
            "runs": len(snapshot.runs),
            "query_seconds": round(query_seconds, 6),
        }

    def _knows(self, authorization: str) -> bool:
        """Whether the request carries the token, compared in constant time."""
        bearer = _BEARER.fullmatch(authorization)
        if not bearer:
            return False
        # JSON can carry half a surrogate pair, which a token never holds.
        token = bearer[1].encode(errors="surrogatepass")
        return hmac.compare_digest(hashlib.sha256(token).hexdigest(), self._token_sha256)


def _takes_gzip(accept_encoding: str) -> bool:
    """Whether the client named gzip, or any coding, and gave it no weight of zero."""
    weights = {}
    for item in accept_encoding.lower().split(","):
        coding, _, weight = item.partition(";")
        weights[coding.strip()] = weight.strip()
    weight = weights.get("gzip", weights.get("*", "q=0"))
    return not _NO_WEIGHT.fullmatch(weight)


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
