"""Clients of several releases, and a browser, as users have them: only `mlflow.env` is exported.

Each runs in a network in which it reaches nothing but the tracking server.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.conftest import BIN, ROOT
from tests.tracking_server import locked_environment

from .only_server import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Deployment

MIB = 1 << 20
# From this size on, clients ask for a multipart upload.
MULTIPART = 500 * MIB
LARGE = 600 * MIB
CLIENTS = sorted((ROOT / "requirements/clients").glob("[!c]*.txt"))


@dataclass(frozen=True)
class User:
    """Somebody with a deployment's `mlflow.env`, and the way to its tracking server."""

    environ: dict[str, str]
    gate: Gate
    home: Path

    def run(self, *command: str | Path) -> tuple[str, list[str]]:
        """Run a program that succeeds; return its output, and which other addresses it asked."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.home), **self.environ}
        done, others = self.gate.run(*command, environ=environ, cwd=self.home)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout, others

    def transfer(self, python: Path, size: int, files: int) -> tuple[str, str, list[str]]:
        """Send and fetch; return the run, the large file's checksum, and other addresses."""
        folder = self.home / "transfers"
        program = ROOT / "tests/e2e/client_transfers.py"
        output, others = self.run(python, program, folder, str(size), str(files))
        shutil.rmtree(folder)
        _, run, checksum = output.splitlines()[-1].split()
        return run, checksum, others


@pytest.fixture
def user(deployment: Deployment, tmp_path: Path) -> Iterator[User]:
    environ = deployment.client_environment
    address, _, port = environ["MLFLOW_TRACKING_URI"].removeprefix("https://").partition(":")
    with Gate(address, int(port), tmp_path) as gate:
        yield User(environ, gate, tmp_path)


def test_gate_lists_other_addresses(user: User) -> None:
    program = """
import contextlib, os, socket
for kind, address in (
    (socket.SOCK_STREAM, ("192.0.2.1", 443)),
    (socket.SOCK_STREAM, ("127.0.0.1", 5640)),
    (socket.SOCK_DGRAM, ("192.0.2.53", 53)),
):
    with contextlib.suppress(OSError), socket.socket(type=kind) as other:
        other.connect(address)
        other.send(b"x")
server = os.environ["MLFLOW_TRACKING_URI"].removeprefix("https://").split(":")
socket.create_connection((server[0], int(server[1]))).close()
"""
    _, others = user.run(BIN / "python", "-c", program)

    assert sorted(others) == [
        "127.0.0.1 . tcp . 5640",
        "192.0.2.1 . tcp . 443",
        "192.0.2.53 . udp . 53",
    ]


def test_client_of_models_asks_only_the_server(user: User) -> None:
    _, _, others = user.transfer(BIN / "python", MULTIPART + 1, 20)

    assert others == []


@pytest.mark.slow
@pytest.mark.parametrize("lock", CLIENTS, ids=[lock.stem for lock in CLIENTS])
def test_client_of_release_asks_only_the_server(user: User, lock: Path) -> None:
    _, _, others = user.transfer(locked_environment(lock), LARGE, 1000)

    assert others == []


def test_prediction_asks_only_the_server(user: User) -> None:
    match = ("rating_local=1700", "rating_visitante=1450")
    output, others = user.run(BIN / "python", ROOT / "models/predict.py", "poisson", *match)

    assert "wins" in output
    assert others == []


@pytest.mark.slow
def test_chromium_downloads_what_client_sent(user: User, tmp_path: Path) -> None:
    run, checksum, _ = user.transfer(BIN / "python", LARGE, 1)
    python = locked_environment(ROOT / "requirements/clients/chromium.txt")

    program = ("env", f"PYTHONPATH={ROOT}", python, "-m", "tests.e2e.chromium_download")
    output, others = user.run(*program, run, "large.bin", tmp_path)

    with (tmp_path / "large.bin").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == checksum
    assert others == []
    assert output.split() == [user.environ["MLFLOW_TRACKING_URI"].removeprefix("https://")]
