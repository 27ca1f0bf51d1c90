"""A relay in front of S3, in the host's network, that is slow, cuts transfers or throttles.

Run as ``python -m tests.faults.relay <slow|cut|throttle> <port> <target port> <mark> <pem> <ca>``.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
import sys
from dataclasses import dataclass

CHUNK = 4096
# Bytes a second of one connection and direction.
SLOW_RATE = 96 * 1024
# A transfer ends after so many bytes; less than a file of the client's.
CUT_BYTES = 48 * 1024
SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)
REFUSAL = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s"
) % (len(SLOW_DOWN), SLOW_DOWN)


async def copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delay: float, most: int | None
) -> None:
    """Carry bytes, at most `most`; then reset the connection."""
    carried = 0
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
        await writer.drain()
        carried += len(chunk)
        if most is not None and carried > most:
            writer.transport.abort()
            raise ConnectionResetError
        if delay:
            await asyncio.sleep(delay)
    if writer.can_write_eof():
        writer.write_eof()


async def connect(
    port: int, mark: int, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the endpoint; the mark keeps the rules from leading back here."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    connection.setblocking(False)  # noqa: FBT003 - as the socket's method is
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    name = "127.0.0.1" if tls else None
    return await asyncio.open_connection(sock=connection, ssl=tls, server_hostname=name)


@dataclass(frozen=True)
class Settings:
    """The arguments of the program."""

    mode: str
    port: int
    target: int
    mark: int
    pem: str
    ca: str


async def serve(settings: Settings) -> None:
    """Serve until the end of the process."""
    mode, target, mark = settings.mode, settings.target, settings.mark
    number = itertools.count()
    delay = CHUNK / SLOW_RATE if mode == "slow" else 0.0
    most = CUT_BYTES if mode == "cut" else None
    throttles = mode == "throttle"
    upstream = ssl.create_default_context(cafile=settings.ca) if throttles else None

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            try:
                head = b""
                if throttles:
                    head = await reader.readuntil(b"\r\n\r\n")
                    if next(number) % 2 == 0:
                        writer.write(REFUSAL)
                        await writer.drain()
                        return
                    # One request for each connection, so that each can be refused.
                    head = head[:-2] + b"Connection: close\r\n\r\n"
                far_reader, far_writer = await connect(target, mark, upstream)
                far_writer.write(head)
                try:
                    await asyncio.gather(
                        copy(reader, far_writer, delay=delay, most=most),
                        copy(far_reader, writer, delay=delay, most=most),
                    )
                finally:
                    far_writer.close()
            finally:
                writer.close()

    context = None
    if throttles:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings.pem)
    server = await asyncio.start_server(accept, "127.0.0.1", settings.port, ssl=context)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    wanted, listening, endpoint, number, *files = sys.argv[1:]
    asyncio.run(serve(Settings(wanted, int(listening), int(endpoint), int(number), *files)))
