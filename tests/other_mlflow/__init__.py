"""Another MLflow, on a file of SQLite, and what MLflow reads from it and from a server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.tracking_server import environment

PROGRAM = Path(__file__).with_name("program.py")


def fill(folder: Path, version: str) -> Path:
    """Log one of each to a new file of SQLite, and artifacts to mlruns beside it.

    Return the file.
    """
    database = folder / "mlflow.db"
    _run(version, "fill", f"sqlite:///{database}", folder, {})
    return database


def migrate(database: Path, version: str) -> None:
    """Bring a file of SQLite to the schema of a version, with MLflow's own command."""
    program = environment(version=version).with_name("mlflow")
    subprocess.run([program, "db", "upgrade", f"sqlite:///{database}"], check=True)


def read(uri: str, folder: Path, version: str, **environ: str) -> str:
    """Return all that MLflow of a version reads from a store or a server, as JSON."""
    return _run(version, "read", uri, folder, environ)


def _run(version: str, command: str, uri: str, folder: Path, environ: dict[str, str]) -> str:
    done = subprocess.run(
        [environment(version=version), PROGRAM, command, uri],
        cwd=folder,
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"} | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
