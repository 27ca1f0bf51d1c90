"""A registered model whose champion is the latest run of its experiment."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.sites_below import Site

EXPERIMENT = "watched"
MODEL = "watched model"


def create_experiment(site: Site, name: str) -> str:
    """Return the id of a new experiment."""
    return str(site.post("experiments/create", name=name)["experiment_id"])


def log_run(site: Site, experiment: str, status: str = "FINISHED", **metrics: float) -> str:
    """Log a run that has ended; return its id."""
    now = time.time_ns() // 10**6
    info = site.post("runs/create", experiment_id=experiment, start_time=now)["run"]["info"]
    values = [{"key": key, "value": value, "timestamp": now} for key, value in metrics.items()]
    site.post("runs/log-batch", run_id=info["run_id"], metrics=values)
    site.post("runs/update", run_id=info["run_id"], status=status, end_time=now)
    return str(info["run_id"])


def experiment_id(site: Site) -> str:
    """Return the id of the champion's experiment."""
    found = site.get("experiments/get-by-name", experiment_name=EXPERIMENT)
    return str(found["experiment"]["experiment_id"])


def log_champion(site: Site) -> None:
    """Log a run, and make it the champion of a registered model."""
    run = log_run(site, create_experiment(site, EXPERIMENT), loss=1.0)
    uri = site.get("runs/get", run_id=run)["run"]["info"]["artifact_uri"]
    site.artifact("PUT", uri, "model.bin", data=b"model")
    site.post("registered-models/create", name=MODEL)
    site.post("model-versions/create", name=MODEL, source=f"{uri}/model.bin", run_id=run)
    site.post("registered-models/alias", name=MODEL, alias="champion", version="1")
