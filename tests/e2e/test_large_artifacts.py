"""A large artifact on its way through the proxy, the server and S3, and back."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Deployment

MIB = 1 << 20
SIZE = 2048 * MIB
PATTERN = os.urandom(MIB + 1)
PATH = "2.0/mlflow-artifacts/artifacts/0/large/artifacts/large.bin"
# Kilobytes of all processes of both services; what they share counts once.
MEMORY = (
    "sudo sh -c 'for p in $(pgrep -u mlflow) $(pgrep -u caddy); do cat /proc/$p/smaps_rollup; done'"
    " 2>/dev/null | awk '/^Pss:/ {sum += $2} END {print sum}'"
)


def content() -> Iterator[bytes]:
    """Give the bytes of the artifact, in pieces."""
    yield from itertools.repeat(PATTERN, SIZE // len(PATTERN))
    yield PATTERN[: SIZE % len(PATTERN)]


def digest(pieces: Iterator[bytes]) -> str:
    """Return the checksum."""
    checksum = hashlib.sha256()
    for piece in pieces:
        checksum.update(piece)
    return checksum.hexdigest()


@contextmanager
def watched(deployment: Deployment) -> Iterator[list[int]]:
    """Note again and again by how many MiB the services' memory has grown."""
    first = int(deployment.ssh(MEMORY).stdout)
    growth: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.5):
            growth.append((int(deployment.ssh(MEMORY).stdout) - first) // 1024)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield growth
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_proxy_passes_ranges_conditions_and_head(deployment: Deployment, http: str) -> None:
    path = "2.0/mlflow-artifacts/artifacts/0/proxied/artifacts/ranges.bin"
    assert deployment.ask("PUT", path, data=b"0123456789").ok
    environ = deployment.client_environment

    def curl(*options: str) -> tuple[str, str]:
        login = f"{environ['MLFLOW_TRACKING_USERNAME']}:{environ['MLFLOW_TRACKING_PASSWORD']}"
        done = subprocess.run(
            [
                *("curl", "--silent", f"--http{http}", "--dump-header", "/dev/stderr", *options),
                *("--cacert", environ["MLFLOW_TRACKING_SERVER_CERT_PATH"], "--config", "-"),
                f"{environ['MLFLOW_TRACKING_URI']}/api/{path}",
            ],
            input=f'user = "{login}"\n',
            text=True,
            capture_output=True,
            check=True,
        )
        return done.stderr.lower(), done.stdout

    fields, body = curl("--range", "2-4")
    assert (fields.split()[:2], body) == ([f"http/{http}", "206"], "234")
    assert "content-range: bytes 2-4/10" in fields
    fields, _ = curl("--head")
    assert fields.split()[1] == "200"
    assert "content-length: 10" in fields
    [etag] = [line.split()[1] for line in fields.splitlines() if line.startswith("etag:")]
    fields, body = curl("--header", f"If-None-Match: {etag}")
    assert (fields.split()[1], body) == ("304", "")


@pytest.mark.slow
def test_two_gibibytes_go_up_and_come_down_within_bounded_memory(deployment: Deployment) -> None:
    with watched(deployment) as up:
        sent = deployment.ask("PUT", PATH, data=content(), timeout=900)
    with watched(deployment) as down:
        answer = deployment.ask("GET", PATH, stream=True, timeout=900)
        found = digest(answer.iter_content(MIB))

    assert sent.ok, sent.text
    assert answer.ok
    assert found == digest(content())
    assert len(up) > 3
    assert len(down) > 3
    assert max(up + down) < 200
