"""A tracking server on loopback, with a login and PostgreSQL, that may be killed and restarted."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests

from tests.postgres import running_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USER, PASSWORD = "admin", "Admin-of-the-tests-1"
START_SECONDS = 300


@dataclass
class TrackingServer:
    """The server; it may be killed and started again on the same data."""

    directory: Path
    port: int
    database: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> dict[str, str]:
        """Return what a client has in its environment."""
        return {
            "MLFLOW_TRACKING_URI": self.url,
            "MLFLOW_TRACKING_USERNAME": USER,
            "MLFLOW_TRACKING_PASSWORD": PASSWORD,
        }

    def start(self) -> None:
        """Start it; return at once."""
        settings = self.directory / "basic_auth.ini"
        settings.write_text(
            "[mlflow]\ndefault_permission = READ\n"
            f"database_uri = {self.database.replace('%', '%%')}\nadmin_username = {USER}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
            "auth_cache_ttl_seconds = 60\n"
        )
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "MLFLOW_BACKEND_STORE_URI": self.database,
            "MLFLOW_AUTH_CONFIG_PATH": str(settings),
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "secret key of the tests, of no use elsewhere",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX": "^(mlflow-artifacts|models):/.*",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"),
            *("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
            *("--artifacts-destination", str(self.directory / "artifacts")),
        ]
        with (self.directory / "log").open("a") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it answers a question that takes the database."""
        assert self.process
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            log = (self.directory / "log").read_text()[-5000:]
            assert self.process.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(0.2)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End all of its processes; SIGKILL leaves them no time to answer anyone."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, how)
            self.process.wait(timeout=60)

    def _answers(self) -> bool:
        try:
            return requests.get(
                f"{self.url}/api/2.0/mlflow/experiments/search",
                params={"max_results": 1},
                auth=(USER, PASSWORD),
                timeout=5,
            ).ok
        except requests.RequestException:
            return False


@contextmanager
def running_server(directory: Path) -> Iterator[TrackingServer]:
    """Run a tracking server with a PostgreSQL of its own."""
    with running_cluster() as cluster, socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        probe.close()
        cluster.execute("CREATE DATABASE tracking")
        server = TrackingServer(directory, port, cluster.url("tracking"))
        server.start()
        try:
            server.wait()
            yield server
        finally:
            server.end()
