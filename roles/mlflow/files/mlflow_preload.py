"""Import what every worker needs; workers are forked from the process that does so."""
# ruff: noqa: INP001  Ansible copies this module to the host, it belongs to no package

from __future__ import annotations

import gc
import importlib

import mlflow_keys

MODULES = (
    "mlflow.server.auth",
    "mlflow.server.handlers",
    "mlflow_access",
    "mlflow_artifacts",
    "mlflow_bridge",
    "mlflow_destinations",
    "mlflow_downloads",
    "mlflow_http",
    "mlflow_json",
    "mlflow_runs",
    "psycopg2",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "uvicorn.loops.uvloop",
)

# MLflow takes some of them, or makes up its own, while it is imported.
mlflow_keys.hand_over()
for module in MODULES:
    importlib.import_module(module)
# What is here stays in memory that the workers share: the collector would write to all of it.
gc.collect()
gc.freeze()
