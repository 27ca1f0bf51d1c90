"""Servers as role mlflow runs them on one database, and a listener for what they send."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.listener import Listener, listening
from tests.tracking_server import ADMIN, ADMIN_PASSWORD, VERSION, Server, environment

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as heard:
        yield heard


def client(server: Server, script: str, *arguments: str, version: str = VERSION) -> Any:
    """Run a program of MLflow's client in the administrator's name; return what it prints."""
    done = subprocess.run(
        [environment(version=version), "-c", script, *arguments],
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": server.url,
            "MLFLOW_TRACKING_USERNAME": ADMIN,
            "MLFLOW_TRACKING_PASSWORD": ADMIN_PASSWORD,
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
