"""The experiments' modules, a valid config, and a tracking server of the tests' own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[3]
# Scripts find the modules beside them, and so must the tests.
sys.path.insert(0, str(ROOT / "models"))

START_SECONDS = 300


@pytest.fixture
def content() -> dict[str, Any]:
    """What stands in a config that is quick to train."""
    return {
        "model_type": "random_forest",
        "run_name": "a small forest",
        "experiment_name": "liga",
        "parameters": {"n_estimators": 5, "max_depth": 3},
        "dataset": {
            "file_path": "partidos.csv",
            "features": ["rating_local", "rating_visitante"],
            "targets": ["goles_local", "goles_visitante"],
        },
        "training": {"test_size": 0.25, "random_state": 7},
        "tags": {"equipo": "datos"},
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[[object], Path]:
    """Write a config and return where."""

    def write(content: object) -> Path:
        path = tmp_path / "config.json"
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.fixture
def configure(
    content: dict[str, Any], write: Callable[[object], Path]
) -> Callable[[dict[str, Any]], Path]:
    """Write the valid config with changes and return where."""

    def configure(changes: dict[str, Any]) -> Path:
        return write(content | changes)

    return configure


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a tracking server on loopback and return its address."""
    directory = tmp_path_factory.mktemp("mlflow")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{directory}/mlflow.db"),
        *("--artifacts-destination", str(directory / "artifacts")),
    ]
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(address):
            assert process.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < deadline, (directory / "log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=60)


def _answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/health", timeout=5).ok
    except requests.ConnectionError:
        return False
