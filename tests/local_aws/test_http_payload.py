from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_aws.services.apigatewayv2.payload import (
    MalformedResultError,
    Request,
    Target,
    event,
    response,
)

REQUEST = Request(
    method="GET",
    path="/metrics",
    query="",
    headers={"host": "example.org", "user-agent": "test"},
    body=b"",
    source_ip="192.0.2.7",
    protocol="HTTP/1.1",
)
TARGET = Target(
    account="123456789012",
    api_id="abc",
    stage="$default",
    route_key="GET /metrics",
    path_parameters={},
    stage_variables={},
    request_id="id",
)


def test_plain_request_has_only_what_it_needs() -> None:
    assert event(REQUEST, TARGET, 0.0) == {
        "version": "2.0",
        "routeKey": "GET /metrics",
        "rawPath": "/metrics",
        "rawQueryString": "",
        "headers": {"host": "example.org", "user-agent": "test"},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc",
            "domainName": "example.org",
            "domainPrefix": "abc",
            "http": {
                "method": "GET",
                "path": "/metrics",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.7",
                "userAgent": "test",
            },
            "requestId": "id",
            "routeKey": "GET /metrics",
            "stage": "$default",
            "time": "01/Jan/1970:00:00:00 +0000",
            "timeEpoch": 0,
        },
        "isBase64Encoded": False,
    }


def test_cookies_leave_the_headers() -> None:
    request = replace(REQUEST, headers={"cookie": "a=1; b=2"})
    made = event(request, TARGET, 0.0)
    assert made["cookies"] == ["a=1", "b=2"]
    assert "cookie" not in made["headers"]


def test_repeated_parameters_are_joined() -> None:
    made = event(replace(REQUEST, query="a=1&b=&a=%202"), TARGET, 0.0)
    assert made["queryStringParameters"] == {"a": "1, 2", "b": ""}
    assert made["rawQueryString"] == "a=1&b=&a=%202"


@pytest.mark.parametrize(
    ("kind", "encoded"),
    [
        ("application/json; charset=utf-8", False),
        ("text/csv", False),
        ("application/x-www-form-urlencoded", True),
        ("application/octet-stream", True),
    ],
)
def test_type_decides_whether_a_body_is_encoded(kind: str, encoded: bool) -> None:  # noqa: FBT001 - parametrized
    request = replace(REQUEST, headers={"content-type": kind}, body=b"a=1")
    made = event(request, TARGET, 0.0)
    assert made["isBase64Encoded"] is encoded
    assert made["body"] == (base64.b64encode(b"a=1").decode() if encoded else "a=1")


@given(st.binary(min_size=1))
def test_no_byte_of_a_body_is_lost(body: bytes) -> None:
    made = event(replace(REQUEST, body=body), TARGET, 0.0)
    text: str = made["body"]
    assert (base64.b64decode(text) if made["isBase64Encoded"] else text.encode()) == body


def test_full_response_is_taken_as_it_is() -> None:
    made = response(
        json.dumps(
            {
                "statusCode": "201",
                "headers": {"Content-Type": "text/css", "X-N": 1, "Content-Length": "9999"},
                "cookies": ["a=1", "b=2"],
                "body": "é",
            }
        ).encode()
    )
    assert made.status == 201
    assert made.body == "é".encode()
    assert made.headers == [
        ("content-type", "text/css"),
        ("x-n", "1"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    ]


@given(st.binary())
def test_encoded_body_is_decoded(content: bytes) -> None:
    result = {
        "statusCode": 200,
        "isBase64Encoded": True,
        "body": base64.b64encode(content).decode(),
    }
    assert response(json.dumps(result).encode()).body == content


@pytest.mark.parametrize(
    ("result", "body"), [({"a": 1}, b'{"a": 1}'), ("text", b"text"), ([1], b"[1]"), (None, b"null")]
)
def test_result_without_status_is_the_body(result: Any, body: bytes) -> None:
    made = response(json.dumps(result).encode())
    assert (made.status, made.body) == (200, body)
    assert made.headers == [("content-type", "application/json")]


@pytest.mark.parametrize(
    "result",
    [
        {"statusCode": "ok"},
        {"statusCode": 99},
        {"statusCode": None},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "headers": {"a": ["b"]}},
        {"statusCode": 200, "headers": {"a": "b\r\nset-cookie: c=1"}},
        {"statusCode": 200, "headers": "a: b"},
        {"statusCode": 200, "isBase64Encoded": True, "body": "%"},
    ],
)
def test_result_that_is_no_response_is_refused(result: dict[str, Any]) -> None:
    with pytest.raises(MalformedResultError):
        response(json.dumps(result).encode())
