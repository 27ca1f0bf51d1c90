"""Import what every worker needs; workers are forked from the process that does so."""
# ruff: noqa: INP001  Ansible copies this module to the host, it belongs to no package

from __future__ import annotations

import gc
import importlib
import importlib.util

MODULES = (
    "mlflow.server.auth",
    "mlflow.server.handlers",
    "mlflow_access",
    "mlflow_bridge",
    "mlflow_http",
    "mlflow_json",
    "mlflow_runs",
    "psycopg2",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "uvicorn.loops.uvloop",
)

for module in MODULES:
    importlib.import_module(module)
# Earlier releases of MLflow have nothing for it to extend.
if importlib.util.find_spec("mlflow.server.artifact_router"):
    importlib.import_module("mlflow_artifacts")
# What is here stays in memory that the workers share: the collector would write to all of it.
gc.collect()
gc.freeze()
