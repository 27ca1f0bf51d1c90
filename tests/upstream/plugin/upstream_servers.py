"""Plugin of pytest: MLflow's tests ask a server of ours, or a stock one, in place of their own.

It runs beside MLflow's own package `tests`, so it imports nothing of this repository. The functions
of MLflow's tests that start a server are replaced where they are used. The variables of its
environment are set by `tests/upstream/__main__.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import FrameType

KIND, ROOT, OUTCOMES = (
    os.environ[f"MLFLOW_UPSTREAM_{name}"] for name in ("KIND", "ROOT", "OUTCOMES")
)
# Webhooks of the tests go to example.com, which a machine without internet cannot resolve. Nothing
# is sent there. Only root can have a file of hosts of its own.
HOSTS = (
    'echo 192.0.43.8 example.com | cat /etc/hosts - >$0 && mount --bind $0 /etc/hosts && exec "$@"'
)
KNOWN_HOSTS = (
    ("unshare", "--mount", "sh", "-c", HOSTS, f"{OUTCOMES}.hosts") if os.geteuid() == 0 else ()
)
# Some of MLflow's tests send requests without a limit of time.
SECONDS = 180
# The file store of MLflow has no server of ours.
FILE_STORE = "file"


class Starter:
    """Starts servers by `tests/upstream/servers.py`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(self, what: str, **details: Any) -> str:
        """Send a request; return the address that answers it."""
        if self._process is None:
            environ = {
                name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")
            }
            self._process = subprocess.Popen(
                [*KNOWN_HOSTS, sys.executable, "-m", "tests.upstream.servers", KIND],
                cwd=ROOT,
                env=environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/collections:{ROOT}/server"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"do": what, **details}) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError("the server did not start; its process has said why")
        return str(json.loads(line)["url"])

    @contextlib.contextmanager
    def serving(self, **details: Any) -> Iterator[str]:
        """Run a server of its own."""
        url = self.ask("serve", **details)
        try:
            yield url
        finally:
            self.ask("stop", url=url)

    def close(self) -> None:
        """End all servers."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()


starter = Starter()


class FreshServer:
    """In place of `ServerThread`, which runs MLflow's application in a thread of the tests."""

    def __init__(self, app: Any, port: int) -> None:  # noqa: ARG002  as the class that it replaces
        self.url = ""

    def __enter__(self) -> Self | str:
        """Return its address."""
        self.url = starter.ask("fresh")
        return self.url

    def __exit__(self, *_: object) -> None:
        """Keep it for the next test."""


def init_server(
    backend_uri: str,
    root_artifact_uri: str,
    extra_env: dict[str, Any] | None = None,
    app: str | None = None,
    server_type: str = "fastapi",
) -> Any:
    """Replace `_init_server`, which runs a server with settings of the test."""
    environ = {name: str(value) for name, value in (extra_env or {}).items()}
    return starter.serving(environ=environ)


@contextlib.contextmanager
def launch_server(
    host: str,
    port: int,
    backend_store_uri: str,
    default_artifact_root: str,
    artifacts_destination: str,
) -> Iterator[None]:
    """Replace `_launch_server`, which runs a server on a port with a folder of artifacts."""
    with starter.serving(port=port, artifacts=artifacts_destination):
        yield


@contextlib.contextmanager
def run_mlflow_server(tmp_path: Path) -> Iterator[str]:
    """Replace `_run_mlflow_server`, which runs a server that sends webhooks to loopback."""
    environ = {
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
        "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "3",
        "MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "10",
        "MLFLOW_WEBHOOK_CACHE_TTL": "0",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    }
    with starter.serving(environ=environ) as url:
        yield url


REPLACED: dict[str, Callable[..., Any]] = {
    "ServerThread": FreshServer,
    "_init_server": init_server,
    "_launch_server": launch_server,
    "_run_mlflow_server": run_mlflow_server,
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Replace the functions in each module, and leave out the tests of the file store."""
    for module in {getattr(item, "module", None) for item in items}:
        for name, replacement in REPLACED.items():
            if hasattr(module, name):
                setattr(module, name, replacement)
    chosen = [
        item
        for item in items
        if FILE_STORE not in getattr(getattr(item, "callspec", None), "params", {}).values()
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that takes too long."""

    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"{item.nodeid} takes more than {SECONDS} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS)
    try:
        return (yield)
    finally:
        signal.alarm(0)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the outcome of each part of a test."""
    with Path(OUTCOMES).open("a") as file:
        file.write(json.dumps({"test": report.nodeid, "outcome": report.outcome}) + "\n")


def pytest_unconfigure() -> None:
    """End the servers."""
    starter.close()
