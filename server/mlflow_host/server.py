"""Serve MLflow: the supervisor that starts the workers.

MLflow's own command passes the database's password and the session key to its workers through their
environments, where `ps auxe` shows them. Here the database's password stays in a libpq password
file, and the other secrets in files that each worker reads for itself; keys.py lists them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mlflow_host import fences, forking
from mlflow_host.logs import configure_logging
from mlflow_host.metrics import serve_metrics
from mlflow_host.schema import refuse_other_schema
from mlflow_host.settings import PROGRAM, setting


def serve(workers: int, metrics_port: int) -> None:
    """Serve MLflow on loopback until SIGTERM; requests in progress finish first.

    Parameters
    ----------
    workers
        Number of processes that answer requests.
    metrics_port
        TCP port of the metrics on loopback; 0 serves none.
    """
    import uvicorn

    configure_logging()
    patches = fences.choose()
    refuse_other_schema()
    _clear_temporary_files()
    if metrics_port:
        serve_metrics(metrics_port)
    os.environ.update(_worker_environment())
    if "forked_workers" in patches:
        forking.fork_workers(workers)
    uvicorn.run(
        "mlflow_host.worker:create_app",
        factory=True,
        app_dir=str(PROGRAM),
        host="127.0.0.1",
        port=int(setting("MLFLOW_PORT")),
        workers=workers,
        loop="uvloop",
        http="mlflow_host.patches.trailers:Protocol",
        log_config=None,
        # The proxy in front writes one, and the patch `request_ids`.
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=30,
        # The supervisor replaces a worker that has not answered its ping for so long.
        timeout_worker_healthcheck=8,
    )


def _worker_environment() -> dict[str, str]:
    """Return what `mlflow server` passes to its workers (mlflow/server/constants.py)."""
    return {
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_SERVER_FILE_STORE": setting("MLFLOW_BACKEND_STORE_URI"),
        "_MLFLOW_SERVER_REGISTRY_STORE": setting("MLFLOW_BACKEND_STORE_URI"),
        "_MLFLOW_SERVER_ARTIFACT_ROOT": setting("MLFLOW_DEFAULT_ARTIFACT_ROOT"),
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": setting("MLFLOW_ARTIFACTS_DESTINATION"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        # `apply` created the account.
        "_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED": "true",
    }


def _clear_temporary_files() -> None:
    """Remove what a killed server left: parts of artifacts that may be large."""
    folder = os.environ.get("CACHE_DIRECTORY")
    for path in Path(folder).iterdir() if folder else []:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
