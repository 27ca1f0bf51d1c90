"""A tracking server whose artifacts are in a real S3, behind a connection that tests can cut."""

from __future__ import annotations

import itertools
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import pytest

from tests.conftest import LocalAws, started
from tests.postgres import running_cluster
from tests.tracking_server import Server, deployed_server, free_port

from .relay import Relay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import requests

MIB = 1 << 20
BUCKET = "artifacts"
# No piece is like its neighbour, whatever the length of the pieces.
PATTERN = os.urandom(MIB + 1)


@dataclass(frozen=True)
class Store:
    """A tracking server whose artifacts are in S3.

    Attributes
    ----------
    temporary
        The folder in which it makes temporary files.
    relay
        Its connections to S3.
    run
        The id of a run of the experiment 0.
    """

    server: Server
    s3: Any
    temporary: Path
    relay: Relay
    run: str

    def url(self, name: str) -> str:
        """Return the address of an artifact."""
        return self.address(f"/api/2.0/mlflow-artifacts/artifacts/{self.path(name)}")

    def address(self, path: str) -> str:
        """Return the address of a route."""
        return f"{self.server.url}{path}"

    def path(self, name: str) -> str:
        """Return an artifact's path below the root, quoted for an address."""
        return f"0/{self.run}/artifacts/{quote(name)}"

    def key(self, name: str) -> str:
        """Return an artifact's key in the bucket."""
        return f"root/0/{self.run}/artifacts/{name}"

    def keep(self, name: str, content: bytes) -> str:
        """Put an artifact into the bucket; return its name."""
        self.s3.put_object(Bucket=BUCKET, Key=self.key(name), Body=content)
        return name

    def call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Post JSON to MLflow."""
        answer = self.server.session().post(self.address(path), json=body)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def ask(self, method: str, path: str, **fields: str) -> requests.Response:
        """Ask for a route, as the administrator."""
        return self.server.session().request(
            method, self.address(path), headers={"Accept-Encoding": "identity", **fields}
        )


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
        while not self._done.wait(0.05):
            self.memory = max(self.memory, self.store.server.pss() - self._before)
            files = [path for path in self.store.temporary.rglob("*") if path.is_file()]
            self.files = max(self.files, sum(path.stat().st_size for path in files))


def content(size: int) -> Iterator[bytes]:
    """Give so many bytes, in pieces."""
    yield from itertools.repeat(PATTERN, size // len(PATTERN))
    yield PATTERN[: size % len(PATTERN)]


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    yield from started(LocalAws(tmp_path_factory.mktemp("aws"), free_port()))


def environ_of(aws: LocalAws, relay: Relay, temporary: Path) -> dict[str, str]:
    """Return the environment of a server whose S3 is behind the relay."""
    return {
        "AWS_ENDPOINT_URL": f"https://127.0.0.1:{relay.port}",
        "AWS_CA_BUNDLE": str(aws.directory / "ca.pem"),
        "AWS_CONFIG_FILE": str(aws.directory / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(aws.directory / "config"),
        "TMPDIR": str(temporary),
    }


@pytest.fixture(scope="session")
def bucket(aws: LocalAws) -> str:
    aws.client("s3").create_bucket(Bucket=BUCKET)
    return BUCKET


@pytest.fixture(scope="session")
def store(
    aws: LocalAws, bucket: str, version: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    s3 = aws.client("s3")
    directory, temporary = tmp_path_factory.mktemp("server"), tmp_path_factory.mktemp("temporary")
    with running_cluster() as cluster, Relay(aws.port) as relay:
        cluster.execute("CREATE DATABASE artifacts")
        environ = environ_of(aws, relay, temporary)
        with deployed_server(
            cluster,
            "artifacts",
            directory,
            environ,
            version=version,
            mlflow_artifacts_destination=f"s3://{bucket}/root",
            mlflow_aws_region="us-east-1",
        ) as server:
            made = server.session().post(
                f"{server.url}/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}
            )
            run = made.json()["run"]["info"]["run_id"]
            yield Store(server, s3, temporary, relay, run)
