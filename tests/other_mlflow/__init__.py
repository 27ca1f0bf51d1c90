"""Another MLflow, and what MLflow reads from a store and from a server."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from tests.conftest import ROOT
from tests.tracking_server import environment, free_port, locked_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

# The last release of MLflow 2.
OLD = "2.22.5"
WAIT_SECONDS = 120
PROGRAM = Path(__file__).with_name("program.py")


def fill(folder: Path, version: str) -> Path:
    """Log one of each to a new file of SQLite, and artifacts to mlruns beside it.

    Return the file.
    """
    database = folder / "mlflow.db"
    log(f"sqlite:///{database}", folder, version)
    return database


def log(uri: str, folder: Path, version: str, **environ: str) -> None:
    """Log one of each to a store or a server with MLflow of a version."""
    _run(version, "fill", uri, folder, environ)


def migrate(database: Path, version: str) -> None:
    """Bring a file of SQLite to the schema of a version, with MLflow's own command."""
    program = python(version).with_name("mlflow")
    subprocess.run([program, "db", "upgrade", f"sqlite:///{database}"], check=True)


def read(uri: str, folder: Path, version: str, **environ: str) -> str:
    """Return all that MLflow of a version reads from a store or a server, as JSON."""
    return _run(version, "read", uri, folder, environ)


def python(version: str) -> Path:
    """Return the Python of an environment with a version of MLflow."""
    if version == OLD:
        return locked_environment(ROOT / f"requirements/others/{version}.txt")
    return environment(version=version)


def _run(version: str, command: str, uri: str, folder: Path, environ: dict[str, str]) -> str:
    done = subprocess.run(
        [python(version), PROGRAM, command, uri],
        cwd=folder,
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"} | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def serving(
    database: str, artifacts: tuple[str, str], folder: Path, version: str, **environ: str
) -> Iterator[str]:
    """Run a version's `mlflow server` as it is; yield its address, and stop it.

    Parameters
    ----------
    database
        Address of its database.
    artifacts
        Option and value that say where artifacts are.
    """
    port = free_port()
    program = python(version).with_name("mlflow")
    command = [
        *(str(program), "server", "--host=127.0.0.1", f"--port={port}", "--workers=1"),
        *(f"--backend-store-uri={database}", *artifacts),
    ]
    settings = {"PATH": f"{program.parent}:{os.environ['PATH']}", "MLFLOW_DISABLE_TELEMETRY": "1"}
    url = f"http://127.0.0.1:{port}"
    with (folder / "server.log").open("wb") as log_file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | settings | environ,
            stdout=log_file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(f"{url}/health", process, folder / "server.log")
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)


def _wait(url: str, process: subprocess.Popen[bytes], log_file: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with suppress(requests.RequestException):
            if requests.get(url, timeout=5).ok:
                return
        assert process.poll() is None, log_file.read_text()
        assert time.monotonic() < deadline, log_file.read_text()
        time.sleep(0.5)
