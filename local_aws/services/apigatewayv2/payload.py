"""Requests as events and results as responses: API Gateway's payload format 2.0.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Mapping

# Other bodies reach the function in base64.
_TEXT_TYPES = ("application/json", "application/javascript", "application/xml")
# Set by the server itself.
_HOP_HEADERS = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})


@dataclass(frozen=True)
class Request:
    """An HTTP request.

    Attributes
    ----------
    path
        Decoded, beginning with a slash.
    headers
        Names in lower case.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    source_ip: str
    protocol: str


@dataclass(frozen=True)
class Target:
    """Where a request has ended up."""

    account: str
    api_id: str
    stage: str
    route_key: str
    path_parameters: Mapping[str, str]
    stage_variables: Mapping[str, str]
    request_id: str


@dataclass(frozen=True)
class Response:
    """An HTTP response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class MalformedResultError(Exception):
    """A function's result that is not a response."""


def event(request: Request, target: Target, now: float) -> dict[str, Any]:
    """Return the event for a request; `now` is the time in seconds since 1970."""
    headers = {name: value for name, value in request.headers.items() if name != "cookie"}
    host = headers.get("host", "")
    document: dict[str, Any] = {
        "version": "2.0",
        "routeKey": target.route_key,
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": target.account,
            "apiId": target.api_id,
            "domainName": host,
            "domainPrefix": target.api_id,
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": request.protocol,
                "sourceIp": request.source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": target.request_id,
            "routeKey": target.route_key,
            "stage": target.stage,
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if "cookie" in request.headers:
        document["cookies"] = [part.strip() for part in request.headers["cookie"].split(";")]
    if parameters := _query_parameters(request.query):
        document["queryStringParameters"] = parameters
    if target.path_parameters:
        document["pathParameters"] = dict(target.path_parameters)
    if target.stage_variables:
        document["stageVariables"] = dict(target.stage_variables)
    if request.body:
        text = _text(request)
        document["body"] = base64.b64encode(request.body).decode() if text is None else text
        document["isBase64Encoded"] = text is None
    return document


def response(result: bytes) -> Response:
    """Return the response that a function's result (JSON) stands for.

    Raises
    ------
    MalformedResultError
        When it stands for none; AWS answers with a 500 then.
    """
    document = json.loads(result)
    if not isinstance(document, dict) or "statusCode" not in document:
        text = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)
        return Response(200, [("content-type", "application/json")], text.encode())
    headers = _headers(document)
    body = _body(document)
    if all(name != "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain; charset=utf-8"))
    return Response(_status(document["statusCode"]), headers, body)


def message(status: int, text: str) -> Response:
    """Return one of API Gateway's own answers."""
    return Response(
        status, [("content-type", "application/json")], json.dumps({"message": text}).encode()
    )


def _query_parameters(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _text(request: Request) -> str | None:
    """Return the body as text, or None where it is to be encoded."""
    kind = request.headers.get("content-type", "text/plain").partition(";")[0].strip().lower()
    if not (kind.startswith("text/") or kind in _TEXT_TYPES):
        return None
    try:
        return request.body.decode()
    except UnicodeDecodeError:
        return None


def _status(value: Any) -> int:
    try:
        status = int(value)
    except (TypeError, ValueError):
        raise MalformedResultError(f"statusCode is {value!r}") from None
    if not 100 <= status <= 599:  # noqa: PLR2004 - the range of HTTP
        raise MalformedResultError(f"statusCode is {value!r}")
    return status


def _headers(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    headers = document.get("headers") or {}
    cookies = document.get("cookies") or []
    if not isinstance(headers, dict) or not isinstance(cookies, list):
        raise MalformedResultError("headers is not an object, or cookies is not a list")
    found: list[tuple[str, str]] = []
    for name, value in headers.items():
        if not isinstance(value, str | int | float):
            raise MalformedResultError(f"the header {name} is {value!r}")
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if name.lower() not in _HOP_HEADERS:
            found.append((name.lower(), text))
    found += [("set-cookie", str(cookie)) for cookie in cookies]
    if any("\r" in text or "\n" in text for pair in found for text in pair):
        raise MalformedResultError("a header has more than one line")
    return found


def _body(document: Mapping[str, Any]) -> bytes:
    body = document.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise MalformedResultError("body is not a string")
    if not document.get("isBase64Encoded"):
        return body.encode()
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        raise MalformedResultError("body is not base64") from None
