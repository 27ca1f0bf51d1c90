"""The server's own metrics, summed over its workers, for Prometheus."""

from __future__ import annotations

import importlib.util
import logging
import os

from mlflow_host.settings import setting

logger = logging.getLogger(__name__)


def serve_metrics(port: int) -> None:
    """Make the workers count requests, and serve the sums on loopback."""
    if importlib.util.find_spec("prometheus_flask_exporter") is None:
        logger.warning("No metrics: the lock of this version lacks prometheus-flask-exporter")
        return
    # The first name is MLflow's (mlflow/server/constants.py), the second the library's.
    os.environ["prometheus_multiproc_dir"] = setting("RUNTIME_DIRECTORY")  # noqa: SIM112  not ours
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = setting("RUNTIME_DIRECTORY")
    # The library reads the variable while it is imported.
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    start_http_server(port, addr="127.0.0.1", registry=registry)
