"""The sockets of a host carry its calls to the API."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from local_aws.services.ec2 import doors, metadata, seed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Api(BaseHTTPRequestHandler):
    """An API that says one word."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"answered")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose path is longer than the address of a Unix socket can be."""
    return tmp_path / ("d" * 60) / ("d" * 60)


def call(folder: Path, port: int, *, allowed: bool) -> bytes:
    """Ask the API through the socket of a host in `folder`; return what comes back."""
    answers = cast("metadata.Metadata", SimpleNamespace())
    host = doors.Doors(folder, port, answers, "i-0", lambda: allowed)
    short = folder.parents[1] / "s"
    short.symlink_to(folder)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(f"{short}/{seed.ENDPOINT_SOCKET}")
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: connection.recv(4096), b""))
    finally:
        host.close()


def test_doors_in_a_deep_folder_carry_a_call(folder: Path, port: int) -> None:
    assert call(folder, port, allowed=True).endswith(b"answered")


def test_doors_without_permission_of_the_groups_close_the_connection(
    folder: Path, port: int
) -> None:
    try:
        answer = call(folder, port, allowed=False)
    except ConnectionError:
        answer = b""
    assert answer == b""
