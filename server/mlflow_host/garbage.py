"""Permanently delete runs and experiments that were deleted in MLflow some time ago."""

from __future__ import annotations

import os

from mlflow_host import keys
from mlflow_host.logs import configure_logging
from mlflow_host.schema import refuse_other_schema
from mlflow_host.settings import secret, setting


def collect_garbage(username: str, older_than: str) -> None:
    """Delete what was deleted longer ago than that (`30d`), artifacts included."""
    configure_logging()
    keys.hand_over()
    from mlflow.cli import gc

    from mlflow_host.patches import locations

    refuse_other_schema()
    locations.spare_other_places()
    # The artifacts are deleted through the server. `ps auxe` does not show variables that a process
    # sets for itself.
    os.environ["MLFLOW_TRACKING_USERNAME"] = username
    os.environ["MLFLOW_TRACKING_PASSWORD"] = secret("admin-password")
    os.environ["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{setting('MLFLOW_PORT')}"
    backend = ["--backend-store-uri", setting("MLFLOW_BACKEND_STORE_URI")]
    gc.main(args=["--older-than", older_than, *backend], prog_name="mlflow gc")
