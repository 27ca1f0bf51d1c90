"""Errors that the proxy itself answers: whose fault it was, and the fields of every answer."""

from __future__ import annotations

import http.client
import json
import ssl
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Proxy

pytestmark = pytest.mark.slow

INVALID_BODIES = {
    "chunk with a sign": b"+0\r\n\r\n",
    "chunk without a length": b"\r\n\r\n",
    "chunk out of range": b"F" * 17 + b"\r\n",
    "chunk with a line feed alone": b"0\n\n",
    "chunk with a wrong end": b"1\r\nZZ0\r\n\r\n",
    "chunk with a long extension": b"0;" + b"x" * 8_000 + b"\r\n\r\n",
    "chunks of little more than extensions": (b"1;" + b"x" * 2_000 + b"\r\nZ\r\n") * 20,
    "trailer without end": b"0\r\nX: " + b"x" * 8_000,
}


def post(proxy: Proxy, body: bytes) -> http.client.HTTPResponse:
    """Send a body that claims to be in chunks; return the answer."""
    context = ssl.create_default_context(cafile=str(proxy.authority))
    connection = http.client.HTTPSConnection("127.0.0.1", proxy.port, timeout=30, context=context)
    with closing(connection):
        connection.putrequest("POST", "/body")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        connection.send(body)
        answer = connection.getresponse()
        answer.read()
        return answer


@pytest.mark.parametrize("name", INVALID_BODIES)
def test_invalid_body_is_the_fault_of_the_client(proxy: Proxy, name: str) -> None:
    answer = post(proxy, INVALID_BODIES[name])

    assert answer.status == 400


def test_valid_body_reaches_the_server(proxy: Proxy) -> None:
    assert post(proxy, b"1;name=value\r\nZ\r\n0\r\nX: trailer\r\n\r\n").status == 200


def test_server_that_is_away_is_not_the_fault_of_the_client(proxy: Proxy) -> None:
    recap, output = proxy.play(tls_proxy_upstream="127.0.0.1:5999")
    assert recap["failed"] == 0, output
    try:
        answer = proxy.ask("/x", method="POST")
    finally:
        proxy.play()

    log = proxy.run("journalctl", "--unit=caddy", "--output=cat", "--no-pager").stdout
    [line] = [
        json.loads(line) for line in log.splitlines() if answer.headers["X-Request-Id"] in line
    ]

    assert answer.status_code == 502
    assert "connection refused" in line["error"]
    # As every answer has them.
    assert "Server" not in answer.headers
    assert answer.headers["X-Request-Id"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]
