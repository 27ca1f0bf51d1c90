"""Requests on hot routes are counted in the metrics as Flask's are."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.tracking_server import EACH_VERSION, PROGRAM, environment

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import json, time
from flask import Flask
from mlflow.server.prometheus_exporter import activate_prometheus_exporter
from mlflow_host.patches.hot_routes.counters import Counters
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

flask = Flask("counted")
flask.add_url_rule("/one", view_func=lambda: "", methods=["POST"])
activate_prometheus_exporter(flask)
registry = CollectorRegistry()
MultiProcessCollector(registry)

def counted():
    samples = [one for metric in registry.collect() for one in metric.samples]
    return {f"{one.name} {one.labels}": one.value for one in samples if one.name in NAMES}

NAMES = {"mlflow_http_request_total", "mlflow_http_request_duration_seconds_count"}
flask.test_client().post("/one")
once = counted()
scope = {"method": "POST", "path": "/one", "query_string": b"", "http_version": "1.1"}
Counters(flask).count(scope, time.perf_counter(), 200)
print(json.dumps([once, counted()]))
"""


@pytest.mark.parametrize("version", EACH_VERSION)
def test_request_is_counted_as_one_of_flask(version: str, tmp_path: Path) -> None:
    variables = {
        "PYTHONPATH": str(PROGRAM),
        "MLFLOW_HOST_READ_ONLY_USERS": os.devnull,
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        "prometheus_multiproc_dir": str(tmp_path),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "session-key-of-the-tests-0123456789",
        "MLFLOW_AUTH_ADMIN_PASSWORD": "password-of-the-admin",
    }
    done = subprocess.run(
        [environment(version=version), "-c", SCRIPT],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    once, twice = json.loads(done.stdout.splitlines()[-1])
    assert len(once) == 2
    assert twice == {name: value + 1 for name, value in once.items()}
