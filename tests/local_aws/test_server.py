from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_aws.server import dechunk


@given(st.lists(st.binary(min_size=1, max_size=2000), max_size=20))
def test_chunked_body_is_joined_without_the_next_request(
    chunks: list[bytes],
) -> None:
    coded = b"".join(b"%x;name=value\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    stream = io.BytesIO(coded + b"0\r\nx-amz-checksum-crc32: AAAAAA==\r\n\r\nGET / HTTP/1.1\r\n")
    body, length = dechunk(stream)
    assert body.read() == b"".join(chunks)
    assert length == sum(map(len, chunks))
    assert stream.read() == b"GET / HTTP/1.1\r\n"


@pytest.mark.parametrize(
    "coded",
    [b"", b"xyz\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b"5\r\nhel", b"5\r\nhelloo\r\n", b"0\r\n"],
)
def test_chunked_body_with_broken_coding_is_refused(coded: bytes) -> None:
    with pytest.raises(ValueError, match="chunk"):
        dechunk(io.BytesIO(coded))
