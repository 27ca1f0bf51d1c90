"""Import the modules of every worker; workers are forked from the process that does so."""

from __future__ import annotations

import gc
import importlib

from mlflow_host import fences, keys, patches
from mlflow_host.logs import configure_logging

MODULES = (
    "mlflow.server.auth",
    "mlflow.server.handlers",
    "mlflow_host.worker",
    "mlflow_host.patches.trailers",
    "psycopg2",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "uvicorn.loops.uvloop",
)

configure_logging()
# MLflow reads some keys, or invents its own, while it is imported.
keys.hand_over()
for module in (*MODULES, *patches.modules(fences.chosen())):
    importlib.import_module(module)
# The workers share this memory as long as the collector does not write to it.
gc.collect()
gc.freeze()
