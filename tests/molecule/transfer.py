"""Large bodies in both directions, held by nobody here either."""

from __future__ import annotations

import base64
import hashlib
import http.client
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.molecule.client import Client

MIB = 1 << 20


def connect(client: Client) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=client.authority)
    return http.client.HTTPSConnection(client.address, client.port, context=context, timeout=120)


def headers(client: Client, user: str | None) -> dict[str, str]:
    token = base64.b64encode(f"{user}:{client.password}".encode()).decode()
    return {"Authorization": f"Basic {token}"} if user else {}


def send(client: Client, path: str, size: int, *, user: str | None = "admin") -> tuple[int, str]:
    """Send so many bytes; return the status and their checksum."""
    digest = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for number in range(size // MIB):
            piece = number.to_bytes(8, "big") * (MIB // 8)
            digest.update(piece)
            yield piece

    connection = connect(client)
    try:
        # Also who is refused before the end has an answer to read.
        try:
            connection.request(
                "POST" if user is None else "PUT",
                path,
                body=pieces(),
                headers=headers(client, user) | {"Content-Length": str(size)},
            )
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            connection.sock.settimeout(10)
        response = connection.getresponse()
        response.read()
        return response.status, digest.hexdigest()
    finally:
        connection.close()


def receive(client: Client, path: str) -> tuple[int, str]:
    """Return the size and the checksum of what comes."""
    digest, size = hashlib.sha256(), 0
    connection = connect(client)
    try:
        connection.request("GET", path, headers=headers(client, "admin"))
        response = connection.getresponse()
        assert response.status == 200
        while piece := response.read(MIB):
            digest.update(piece)
            size += len(piece)
    finally:
        connection.close()
    return size, digest.hexdigest()
