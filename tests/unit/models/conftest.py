"""The experiments' modules, a valid config, and a tracking server of the tests' own."""

from __future__ import annotations

import json
import os
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.loopback_server import TrackingServer, running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[3]
# Scripts find the modules beside them, and so must the tests.
sys.path.insert(0, str(ROOT / "models"))


@pytest.fixture
def content() -> dict[str, Any]:
    """The content of a config that is quick to train."""
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
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    """Run a tracking server as role mlflow sets it up."""
    with running_server(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture
def tracking(server: TrackingServer, monkeypatch: pytest.MonkeyPatch) -> TrackingServer:
    """Log to the tests' server."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    for name, value in server.client.items():
        monkeypatch.setenv(name, value)
    return server


@pytest.fixture
def small_grid(content: dict[str, Any], tmp_path: Path) -> Path:
    """Write a directory with six quick configs, in an experiment of the test's own."""
    directory = tmp_path / "grid"
    directory.mkdir()
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("random_forest", {"n_estimators": 5}),
        ("random_forest", {"n_estimators": 10, "max_depth": 3}),
        ("gradient_boosting", {"n_estimators": 5}),
        ("linear_regression", {}),
        ("poisson", {"alpha": 0.1}),
        ("poisson", {"alpha": 1.0}),
    ]
    for number, (kind, parameters) in enumerate(kinds):
        changed = content | {
            "model_type": kind,
            "parameters": parameters,
            "run_name": f"{kind} {number}",
            "experiment_name": f"liga {uuid.uuid4()}",
        }
        if number:
            first = json.loads((directory / "0.json").read_text())
            changed["experiment_name"] = first["experiment_name"]
        (directory / f"{number}.json").write_text(json.dumps(changed))
    return directory
