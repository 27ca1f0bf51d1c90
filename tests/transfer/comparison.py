"""What a deployment answers, compared with what another MLflow has."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from tests import other_mlflow
from tests.tracking_server import VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sites import Site

    from .conftest import Other


def answers_of(site: Site, folder: Path) -> Any:
    """Return all that MLflow's client reads from a deployment."""
    read = other_mlflow.read(
        f"https://{site.address}:5000",
        folder,
        VERSION,
        MLFLOW_TRACKING_USERNAME="admin",
        MLFLOW_TRACKING_PASSWORD=site.secret("mlflow-admin"),
        MLFLOW_TRACKING_SERVER_CERT_PATH=f"{site.directory}/ca.pem",
    )
    return json.loads(read)


def assert_same_answers(site: Site, other: Other, folder: Path) -> None:
    """Compare all that MLflow's client reads from both, and each artifact."""
    # Migrated as the deployment has migrated it.
    shutil.copy(other.folder / "mlflow.db", folder / "mlflow.db")
    other_mlflow.migrate(folder / "mlflow.db", VERSION)
    theirs = other_mlflow.read(f"sqlite:///{folder}/mlflow.db", folder, VERSION)
    assert other.root in theirs
    assert answers_of(site, folder) == json.loads(theirs.replace(other.root, "mlflow-artifacts:"))

    tree = other.folder / "mlruns"
    artifacts = [path for path in tree.rglob("*") if path.is_file()]
    assert artifacts
    for path in artifacts:
        uri = f"mlflow-artifacts:/{path.parent.relative_to(tree)}"
        assert site.artifact("GET", uri, path.name) == path.read_bytes()
