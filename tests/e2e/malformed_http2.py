"""Requests of HTTP/2 that HTTP/1.1, which the proxy speaks to the server, would read otherwise.

Frames: https://www.rfc-editor.org/rfc/rfc9113#section-4.1; fields without compression, each as
https://www.rfc-editor.org/rfc/rfc7541#section-6.2.2 has it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS = 1, 4
HIDDEN = "GET /wire/{id}/hidden HTTP/1.1\r\nHost: {host}\r\n\r\n"
CHUNKED = f"0\r\n\r\n{HIDDEN}"


@dataclass(frozen=True)
class Request2:
    """A request in parts; {id}, {host} and {login} are replaced.

    Attributes
    ----------
    pseudo
        Pseudo-fields that differ from those of a valid request; None leaves one out.
    fields
        Further fields, after the login.
    body
        Its content; None for none.
    trailer
        Fields after the body.
    first
        Fields before the pseudo-fields.
    """

    pseudo: dict[str, str | None] = field(default_factory=dict)
    fields: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    trailer: tuple[tuple[str, str], ...] = ()
    first: tuple[tuple[str, str], ...] = ()


LINE = "/wire/{id}/hidden HTTP/1.1\r\nHost: {host}\r\n\r\n"
REQUESTS = {
    "valid": Request2(),
    "valid with a body": Request2(fields=(("content-length", "2"),), body="{}"),
    "length of nothing": Request2(fields=(("content-length", "0"),), body=HIDDEN),
    "short length": Request2(fields=(("content-length", "4"),), body=HIDDEN),
    "long length": Request2(fields=(("content-length", "4000"),), body=HIDDEN),
    "two lengths": Request2(
        fields=(("content-length", "0"), ("content-length", "9")), body="x" * 9
    ),
    "length with a sign": Request2(fields=(("content-length", "+2"),), body="{}"),
    "chunked": Request2(fields=(("transfer-encoding", "chunked"),), body=CHUNKED),
    "chunked and a length": Request2(
        fields=(("transfer-encoding", "chunked"), ("content-length", "4")), body=CHUNKED
    ),
    "chunked in other letters": Request2(fields=(("Transfer-Encoding", "chunked"),), body=CHUNKED),
    "chunked by a line break in a value": Request2(
        fields=(("x-a", "b\r\nTransfer-Encoding: chunked"),), body=CHUNKED
    ),
    "chunked by a line feed in a value": Request2(
        fields=(("x-a", "b\nTransfer-Encoding: chunked"),), body=CHUNKED
    ),
    "chunked by a line break in a name": Request2(
        fields=(("x-a: b\r\ntransfer-encoding", "chunked"),), body=CHUNKED
    ),
    "chunked by a colon in a name": Request2(
        fields=(("transfer-encoding: chunked\r\nx", "y"),), body=CHUNKED
    ),
    "request in a value": Request2(fields=(("x-a", f"b\r\n\r\n{HIDDEN}"),)),
    "request in the path": Request2(pseudo={":path": f"/wire/{{id}} HTTP/1.1\r\n\r\nGET {LINE}"}),
    "space in the path": Request2(pseudo={":path": "/wire/{id} HTTP/1.1"}),
    "request in the method": Request2(pseudo={":method": f"GET {LINE}GET"}),
    "space in the method": Request2(pseudo={":method": "GET /wire/{id}/hidden HTTP/1.1"}),
    "request in the authority": Request2(pseudo={":authority": f"{{host}}\r\n\r\n{HIDDEN}"}),
    "path in the scheme": Request2(pseudo={":scheme": "https://evil.test/wire/{id}/hidden?"}),
    "other authority": Request2(pseudo={":authority": "evil.test"}),
    "other host": Request2(fields=(("host", "evil.test"),)),
    "no path": Request2(pseudo={":path": None}),
    "empty path": Request2(pseudo={":path": ""}),
    "path of another server": Request2(pseudo={":path": "http://169.254.169.254/wire/{id}"}),
    "no method": Request2(pseudo={":method": None}),
    "two paths": Request2(first=((":path", "/wire/{id}/hidden"),)),
    "pseudo-field after a field": Request2(fields=((":path", "/wire/{id}/hidden"),)),
    "unknown pseudo-field": Request2(pseudo={":unknown": "x"}),
    "field of the hop": Request2(
        fields=(("connection", "transfer-encoding"), ("transfer-encoding", "chunked")),
        body=CHUNKED,
    ),
    "upgrade": Request2(fields=(("connection", "upgrade"), ("upgrade", "h2c"))),
    "tunnel": Request2(pseudo={":method": "CONNECT", ":path": None, ":scheme": None}),
    "WebSocket": Request2(pseudo={":method": "CONNECT", ":protocol": "websocket"}),
    "NUL in a value": Request2(fields=(("x-a", "b\0c"),)),
    "field without a name": Request2(fields=(("", "x"),)),
    "length in the trailer": Request2(
        fields=(("trailer", "content-length"),),
        body=HIDDEN,
        trailer=(("content-length", "4"),),
    ),
    "login in the trailer": Request2(
        body="{}", trailer=(("authorization", "Basic YWRtaW46YWRtaW4="),)
    ),
    "path in the trailer": Request2(body="{}", trailer=((":path", "/wire/{id}/hidden"),)),
}


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return a frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def text(value: str) -> bytes:
    """Return a text with its length, which has a prefix of seven bits."""
    data = value.encode("latin-1")
    if len(data) < 127:
        return bytes([len(data)]) + data
    rest, length = b"", len(data) - 127
    while length >= 128:
        rest, length = rest + bytes([length % 128 + 128]), length // 128
    return b"\x7f" + rest + bytes([length]) + data


def block(fields: list[tuple[str, str]]) -> bytes:
    """Return fields as a block, none of which is indexed."""
    return b"".join(b"\0" + text(name) + text(value) for name, value in fields)


def encoded(request: Request2, method: str, filling: dict[str, str]) -> bytes:
    """Return a connection with one request."""
    usual = {
        ":method": method,
        ":scheme": "https",
        ":authority": "{host}",
        ":path": "/wire/{id}",
        **request.pseudo,
    }
    pseudo = [(name, value) for name, value in usual.items() if value is not None]
    head = [*request.first, *pseudo, ("authorization", "{login}"), *request.fields]

    def filled(value: str) -> str:
        for name, word in filling.items():
            value = value.replace(f"{{{name}}}", word)
        return value

    def fill(fields: list[tuple[str, str]]) -> bytes:
        return block([(name, filled(value)) for name, value in fields])

    ends = request.body is None
    frames = [PREFACE, frame(SETTINGS, 0, 0, b"")]
    frames.append(frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), 1, fill(head)))
    if request.body is not None:
        last = 0 if request.trailer else END_STREAM
        frames.append(frame(DATA, last, 1, filled(request.body).encode("latin-1")))
    if request.trailer:
        trailer = fill(list(request.trailer))
        frames.append(frame(HEADERS, END_HEADERS | END_STREAM, 1, trailer))
    return b"".join(frames)


def kinds(received: bytes) -> list[tuple[int, int]]:
    """Return kind and flags of each whole frame for the first stream or the connection."""
    found = []
    while len(received) >= 9:
        length = int.from_bytes(received[:3], "big")
        found.append((received[3], received[4]))
        received = received[9 + length :]
    return found
