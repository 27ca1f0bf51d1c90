"""Decode request bodies that a client compressed.

MLflow takes a compressed JSON body for an empty one, and answers as if nothing had been asked. Here
gzip and deflate are decoded, and any other coding is refused by name.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from http import HTTPStatus

Headers = list[tuple[bytes, bytes]]

# A few kilobytes can hold gigabytes of zeros.
MOST_BYTES = 64 << 20
SUPPORTED = "gzip, deflate"
# Of other types the coding belongs to what is stored, as with an artifact.
DECODED_TYPES = (b"application/json", b"text/json")
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


@dataclass
class EncodingRefusedError(Exception):
    """A body that cannot be decoded; the text is the answer's body."""

    message: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the message."""
        return self.message


def is_coded(headers: Headers) -> bool:
    """Return whether the body of a request is to be decoded here."""
    kind = next((value for name, value in headers if name == b"content-type"), b"")
    return kind.lower().startswith(DECODED_TYPES) and bool(_codings(headers))


def _codings(headers: Headers) -> list[bytes]:
    """Return the codings in the order in which the client applied them."""
    return [
        coding.strip().lower()
        for name, value in headers
        if name == b"content-encoding"
        for coding in value.split(b",")
    ]


def decode(headers: Headers, body: bytes) -> tuple[Headers, bytes]:
    """Return the header fields and the body of a request without its content coding.

    Parameters
    ----------
    headers
        Names in lower case, and values.
    body
        As it was sent, in bytes.

    Raises
    ------
    EncodingRefusedError
        415 for an unknown coding, 400 for a body that is not what the coding says, 413 for one that
        is larger than `MOST_BYTES` when it is decoded. Source: RFC 9110, sections 8.4 and 15.5.16.
    """
    for coding in reversed(_codings(headers)):
        body = _decode_one(coding, body)
    return [pair for pair in headers if pair[0] != b"content-encoding"], body


def _decode_one(coding: bytes, body: bytes) -> bytes:
    if coding in {b"", b"identity"}:
        return body
    if coding not in {b"gzip", b"x-gzip", b"deflate"}:
        raise EncodingRefusedError(
            f"Content-Encoding: {coding.decode('latin-1')!r} is not a supported coding. Use one of:"
            f" {SUPPORTED}.",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            {"Accept-Encoding": SUPPORTED},
        )
    try:
        return _inflate(body, _GZIP_OR_ZLIB)
    except zlib.error:
        if coding == b"deflate":
            # Some clients send deflate without zlib's header (RFC 9110, section 8.4.1.2).
            try:
                return _inflate(body, -zlib.MAX_WBITS)
            except zlib.error:
                pass
    raise EncodingRefusedError(
        f"Content-Encoding: the body is not valid {coding.decode()}.", HTTPStatus.BAD_REQUEST
    )


def _inflate(body: bytes, window: int) -> bytes:
    """Decode all members of a body; zlib.error if it is broken or ends too early."""
    decoded = bytearray()
    while body:
        member = zlib.decompressobj(window)
        decoded += member.decompress(body, MOST_BYTES + 1 - len(decoded))
        if len(decoded) > MOST_BYTES:
            raise EncodingRefusedError(
                f"Content-Encoding: the decoded body is larger than {MOST_BYTES} bytes.",
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )
        if not member.eof:
            raise zlib.error("incomplete")
        body = member.unused_data
    return bytes(decoded)
