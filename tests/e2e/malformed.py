"""Requests that are not valid HTTP, or that lie about where they come from and where they go."""

from __future__ import annotations

# A second request within the first, which only one of the two might see.
HIDDEN = "GET /wire/{id}/hidden HTTP/1.1\r\nHost: {host}\r\n\r\n"
# How a request says where it ends: its last lines and its body; {hidden} is the second request.
FRAMES = {
    "both lengths": "Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n"
    "0\r\n\r\n{hidden}",
    "chunked and a short length": "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
    "{hex}\r\n{hidden}\r\n0\r\n\r\n",
    "two lengths": "Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{hidden}",
    "list of lengths": "Content-Length: 0, {length}\r\n\r\n{hidden}",
    "length with a sign": "Content-Length: +0\r\n\r\n{hidden}",
    "negative length": "Content-Length: -1\r\n\r\n{hidden}",
    "hexadecimal length": "Content-Length: 0x0\r\n\r\n{hidden}",
    "length out of range": "Content-Length: 18446744073709551616\r\n\r\n{hidden}",
    "length with an underscore": "Content_Length: {length}\r\n\r\n{hidden}",
    "encoding with an underscore": "Transfer_Encoding: chunked\r\n\r\n{hidden}",
    "unknown encoding": "Transfer-Encoding: xchunked\r\n\r\n{hidden}",
    "encoding in other letters": "Transfer-Encoding: cHuNkEd\r\n\r\n0\r\n\r\n{hidden}",
    "encoding with a space": "Transfer-Encoding : chunked\r\nContent-Length: {length}\r\n\r\n"
    "0\r\n\r\n{hidden}",
    "encoding with a tab": "Transfer-Encoding:\tchunked\r\nContent-Length: {length}\r\n\r\n"
    "0\r\n\r\n{hidden}",
    "encoding with a vertical tab": "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n{hidden}",
    "two encodings": "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"
    "0\r\n\r\n{hidden}",
    "list of encodings": "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n{hidden}",
    "identity after chunked": "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}",
    "folded encoding": "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{hidden}",
    "folded field": "X-Folded: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
    "encoding of the hop": "Connection: Transfer-Encoding, Content-Length\r\n"
    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
    "line feeds alone": "Content-Length: 0\n\n{hidden}",
    "carriage returns alone": "Content-Length: 0\r\r{hidden}",
    "NUL in a field": "X-Nul: a\0b\r\nContent-Length: 0\r\n\r\n{hidden}",
    "no colon": "Transfer-Encoding chunked\r\n\r\n0\r\n\r\n{hidden}",
    "chunk with a sign": "Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n{hidden}",
    "chunk in C's notation": "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n{hidden}",
    "chunk out of range": "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{hidden}",
    "chunk extension over a line": "Transfer-Encoding: chunked\r\n\r\n2;\nxx\r\n0\r\n\r\n{hidden}",
    "chunk with a wrong end": "Transfer-Encoding: chunked\r\n\r\n1\r\nZZ0\r\n\r\n{hidden}",
    "chunk that ends with line feeds": "Transfer-Encoding: chunked\r\n\r\n0\n\n{hidden}",
    "long chunk extension": "Transfer-Encoding: chunked\r\n\r\n0;"
    + "x" * 40_000
    + "\r\n\r\n{hidden}",
    "length in the trailer": "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n"
    "0\r\nContent-Length: {length}\r\n\r\n{hidden}",
    "login in the trailer": "Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n"
    "0\r\nAuthorization: Basic YWRtaW46YWRtaW4=\r\n\r\n{hidden}",
    "change to HTTP/2": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n{hidden}",
    "change to WebSocket": "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 777\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n{hidden}",
    "body that is announced": "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n{hidden}",
    "unknown expectation": "Expect: x\r\nContent-Length: {length}\r\n\r\n{hidden}",
}
# First lines of requests.
TARGETS = {
    "other protocol": "GET /wire/{id} HTTP/3.0",
    "old protocol": "GET /wire/{id}",
    "protocol with more digits": "GET /wire/{id} HTTP/1.10",
    "no protocol's name": "GET /wire/{id} XTTP/1.1",
    "address of another server": "GET http://169.254.169.254/wire/{id} HTTP/1.1",
    "login in the address": "GET http://{host}@evil.test/wire/{id} HTTP/1.1",
    "tunnel": "CONNECT 169.254.169.254:80 HTTP/1.1",
    "trace": "TRACE /wire/{id} HTTP/1.1",
    "unknown method": "GETX /wire/{id} HTTP/1.1",
    "method in lower case": "get /wire/{id} HTTP/1.1",
    "space in the path": "GET /wire/{id} x HTTP/1.1",
    "two slashes": "GET //evil.test/wire/{id} HTTP/1.1",
    "no slash": "GET wire/{id} HTTP/1.1",
    "dots": "GET /wire/{id}/../../../../etc/passwd HTTP/1.1",
    "encoded dots": "GET /wire/{id}/%2e%2e/%2e%2e/%2e%2e/etc/passwd HTTP/1.1",
    "encoded slashes": "GET /wire/{id}%2f..%2f..%2fetc%2fpasswd HTTP/1.1",
    "line break in the path": "GET /wire/{id}%0d%0aX-Injected:%20yes HTTP/1.1",
    "NUL in the path": "GET /wire/{id}%00 HTTP/1.1",
    "fragment": "GET /wire/{id}#x HTTP/1.1",
    "long path": "GET /wire/{id}/" + "x" * 60_000 + " HTTP/1.1",
    "path without end": "GET /wire/{id}/" + "x" * 2_000_000 + " HTTP/1.1",
}
# Fields that lie about where a request comes from and where it goes.
FIELDS = {
    "other host": {"Host": "evil.test"},
    "host with a login": {"Host": "{host}@evil.test"},
    "host with a path": {"Host": "{host}/evil"},
    "empty host": {"Host": ""},
    "host of the cloud": {"Host": "169.254.169.254"},
    "forwarded host": {"X-Forwarded-Host": "evil.test", "Forwarded": "host=evil.test;proto=http"},
    "forwarded path": {"X-Original-URL": "/-/metrics/host", "X-Rewrite-URL": "/-/metrics/host"},
    "other method": {"X-HTTP-Method-Override": "DELETE"},
    "address of the host itself": {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"},
    "large field": {"X-Large": "x" * 100_000},
    "many fields": {f"X-{number}": "x" for number in range(3000)},
}


def with_hidden(frame: str, known: str, host: str) -> str:
    """Return a frame with its second request, whose path has an id."""
    hidden = HIDDEN.replace("{id}", known).replace("{host}", host)
    lengths = frame.replace("{length}", str(len(hidden))).replace("{hex}", f"{len(hidden):x}")
    return lengths.replace("{hidden}", hidden)
