"""Make the application in each worker of the server."""

from __future__ import annotations

import gc
import signal
from typing import Any

from mlflow_host import fences, keys, patches
from mlflow_host.database import wait_for_database
from mlflow_host.forking import end_with_parent
from mlflow_host.logs import configure_logging, use_json
from mlflow_host.settings import setting


def create_app() -> Any:
    """Return MLflow's ASGI application with the patches that fit; uvicorn calls this."""
    end_with_parent()
    configure_logging()
    # A worker that is still loading has no request to finish: SIGTERM ends it at once.
    finish_requests = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Again, for a worker that was not forked from the process that has imported MLflow.
    keys.hand_over()

    wait_for_database()
    from mlflow.server import app, auth, handlers

    # MLflow and its libraries have added handlers while they were imported.
    use_json()
    uri = setting("MLFLOW_BACKEND_STORE_URI")
    handlers.initialize_backend_stores(uri, uri, setting("MLFLOW_DEFAULT_ARTIFACT_ROOT"))
    application = auth.create_app()
    patches.apply(patches.Server(application, app, auth), fences.chosen())
    # The collector need not look again through all that was loaded by now.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    signal.signal(signal.SIGTERM, finish_requests)
    return application
