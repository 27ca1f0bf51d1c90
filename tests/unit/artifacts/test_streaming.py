"""Artifacts on their way through the server to a real S3 and back."""

from __future__ import annotations

import hashlib
import itertools
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import pytest
import requests

from tests.conftest import LocalAws, started
from tests.postgres import running_cluster
from tests.tracking_server import Server, deployed_server, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1 << 20
BUCKET = "artifacts"
# What a piece of any length could not hide: no piece is like its neighbour.
PATTERN = os.urandom(MIB + 1)


@dataclass(frozen=True)
class Store:
    """A tracking server whose artifacts lie in S3."""

    server: Server
    s3: Any
    temporary: Path

    def url(self, name: str) -> str:
        """Return where an artifact goes and comes from."""
        return f"{self.server.url}/api/2.0/mlflow-artifacts/artifacts/0/run/artifacts/{name}"

    def key(self, name: str) -> str:
        """Return where it lies in the bucket."""
        return f"root/0/run/artifacts/{name}"


@dataclass
class Watch:
    """Looks at the server while something is done: its memory, and files on its host."""

    store: Store
    memory: int = 0
    files: int = 0
    _done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._before = self.store.server.pss()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.2):
            self.memory = max(self.memory, self.store.server.pss() - self._before)
            files = [path for path in self.store.temporary.rglob("*") if path.is_file()]
            self.files = max(self.files, sum(path.stat().st_size for path in files))


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    yield from started(LocalAws(tmp_path_factory.mktemp("aws"), free_port()))


@pytest.fixture(scope="module")
def store(aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    directory, temporary = tmp_path_factory.mktemp("server"), tmp_path_factory.mktemp("temporary")
    environ = {
        "AWS_ENDPOINT_URL": f"https://127.0.0.1:{aws.port}",
        "AWS_CA_BUNDLE": str(aws.directory / "ca.pem"),
        "AWS_CONFIG_FILE": str(aws.directory / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(aws.directory / "config"),
        "TMPDIR": str(temporary),
    }
    with running_cluster() as cluster:
        cluster.execute("CREATE DATABASE artifacts")
        with deployed_server(
            cluster,
            "artifacts",
            directory,
            environ,
            mlflow_artifacts_destination=f"s3://{BUCKET}/root",
            mlflow_aws_region="us-east-1",
        ) as server:
            yield Store(server, s3, temporary)


def content(size: int) -> Iterator[bytes]:
    """Give so many bytes, in pieces."""
    yield from itertools.repeat(PATTERN, size // len(PATTERN))
    yield PATTERN[: size % len(PATTERN)]


def digest(pieces: Iterator[bytes]) -> tuple[str, int]:
    """Return checksum and size."""
    checksum, size = hashlib.sha256(), 0
    for piece in pieces:
        checksum.update(piece)
        size += len(piece)
    return checksum.hexdigest(), size


@pytest.mark.parametrize(
    "size", [0, 1, 200 * MIB + 7, pytest.param(2048 * MIB, marks=pytest.mark.slow)]
)
def test_artifact_goes_up_and_comes_down_as_it_is(store: Store, size: int) -> None:
    name = f"of {size} bytes.bin"
    session = store.server.session()

    with Watch(store) as up:
        session.put(store.url(name), data=content(size), timeout=600).raise_for_status()
    with Watch(store) as down, session.get(store.url(name), stream=True, timeout=600) as answer:
        answer.raise_for_status()
        found = digest(answer.iter_content(MIB))

    assert found == digest(content(size))
    assert answer.headers["Content-Length"] == str(size)
    assert max(up.memory, down.memory) < 200 * MIB
    assert (up.files, down.files) == (0, 0)


def test_artifact_keeps_its_kind_and_its_name(store: Store) -> None:
    session = store.server.session()
    session.put(store.url("a plot.png"), data=b"not really").raise_for_status()

    answer = session.get(store.url("a plot.png"))

    assert answer.content == b"not really"
    assert answer.headers["Content-Type"] == "image/png"
    assert "plot.png" in answer.headers["Content-Disposition"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    kept = store.s3.head_object(Bucket=BUCKET, Key=store.key("a plot.png"))
    assert kept["ContentType"] == "image/png"


def test_upload_that_breaks_off_leaves_nothing(store: Store) -> None:
    address = store.server.url.removeprefix("http://").split(":")
    path = store.url("broken").removeprefix(store.server.url)
    with socket.create_connection((address[0], int(address[1]))) as client:
        head = (
            f"PUT {path} HTTP/1.1\r\nHost: {':'.join(address)}\r\n"
            f"Authorization: {store.server.authorization}\r\nContent-Length: {500 * MIB}\r\n\r\n"
        )
        client.sendall(head.encode())
        for _ in range(40):
            client.sendall(PATTERN)

    deadline = time.monotonic() + 60
    while store.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    listed = store.s3.list_objects_v2(Bucket=BUCKET, Prefix=store.key("broken"))
    assert listed["KeyCount"] == 0
    assert store.server.session().get(store.url("broken")).status_code == requests.codes.not_found


def test_what_is_not_there_is_not_found(store: Store) -> None:
    answer = store.server.session().get(store.url("never sent"))

    assert answer.status_code == requests.codes.not_found
    assert answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"


def test_path_that_leaves_the_artifacts_is_refused(store: Store) -> None:
    url = store.url("%2e%2e/%2e%2e/%2e%2e/secret")
    request = requests.Request("GET", url, headers={"Authorization": store.server.authorization})
    prepared = request.prepare()
    # requests would put the dots straight.
    prepared.url = url

    answer = requests.Session().send(prepared)

    assert answer.status_code == requests.codes.bad_request


def test_stranger_gets_nothing(store: Store) -> None:
    store.server.session().put(store.url("mine"), data=b"mine").raise_for_status()

    assert requests.get(store.url("mine"), timeout=30).status_code == requests.codes.unauthorized
    sent = requests.put(store.url("mine"), data=b"yours", timeout=30)
    assert sent.status_code == requests.codes.unauthorized
