"""Permanently delete runs and experiments that were deleted in MLflow some time ago."""

from __future__ import annotations

import os
from functools import wraps
from typing import TYPE_CHECKING, Any

from mlflow_host import audit, keys
from mlflow_host.logs import configure_logging
from mlflow_host.schema import refuse_other_schema
from mlflow_host.settings import secret, setting

if TYPE_CHECKING:
    from collections.abc import Callable

# The functions of MLflow's store that `mlflow gc` calls, and what their argument is.
DELETIONS = {
    "_hard_delete_run": "run_id",
    "_hard_delete_experiment": "experiment_id",
    "_hard_delete_logged_model": "model_id",
}


def collect_garbage(username: str, older_than: str) -> None:
    """Delete what was deleted longer ago than that (`30d`), artifacts included."""
    configure_logging()
    keys.hand_over()
    from mlflow.cli import gc

    from mlflow_host.patches import locations

    refuse_other_schema()
    locations.spare_other_places()
    record_deletions()
    # The artifacts are deleted through the server. `ps auxe` does not show variables that a process
    # sets for itself.
    os.environ["MLFLOW_TRACKING_USERNAME"] = username
    os.environ["MLFLOW_TRACKING_PASSWORD"] = secret("admin-password")
    os.environ["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{setting('MLFLOW_PORT')}"
    backend = ["--backend-store-uri", setting("MLFLOW_BACKEND_STORE_URI")]
    gc.main(args=["--older-than", older_than, *backend], prog_name="mlflow gc")


def record_deletions() -> None:
    """Make MLflow's store record in the audit trail what it deletes permanently."""
    trail = audit.open_trail()
    if not trail:
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    def recorded(name: str, field: str) -> Callable[..., None]:
        delete = getattr(SqlAlchemyStore, name)

        @wraps(delete)
        def delete_and_record(self: Any, key: Any) -> None:
            delete(self, key)
            trail.record(
                program="gc", action=name.strip("_"), objects={field: str(key)}, result="done"
            )

        return delete_and_record

    for name, field in DELETIONS.items():
        setattr(SqlAlchemyStore, name, recorded(name, field))
