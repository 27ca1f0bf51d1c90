"""Fill a file of SQLite with MLflow, or print all that MLflow reads from a store, as JSON.

It runs with the Python of a server's environment: program.py fill|read <tracking URI>.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import mlflow
import numpy as np
from mlflow import MlflowClient, entities
from mlflow.data import numpy_dataset
from mlflow.entities import Metric, Param, RunTag, ViewType

MLFLOW_3 = int(mlflow.__version__.split(".")[0]) >= 3
TRACE_ID = "trace_id" if MLFLOW_3 else "request_id"
NUMBERS = [0.1, -0.0, 1e300, math.nan, math.inf, -math.inf, 3.0]


def fill(client: MlflowClient) -> None:
    """Log one of each: two experiments, runs, models, versions, aliases, traces."""
    used = client.create_experiment("used", tags={"team": "football ⚽"})
    deleted = client.create_experiment("deleted")
    client.delete_experiment(deleted)
    for experiment in ("0", used):
        run = client.create_run(experiment, tags={"mlflow.note.content": "one\ntwo"}).info
        metrics = [Metric("loss", n, 1_700_000_000_000 + i, i) for i, n in enumerate(NUMBERS)]
        client.log_batch(
            run.run_id,
            metrics=[*metrics, Metric("accuracy", 0.5, 1_700_000_000_000, 0)],
            params=[Param("depth", "3"), Param("long", "x" * 6000)],
            tags=[RunTag("quote", 'it\'s "quoted" \\ %s')],
        )
        client.log_text(run.run_id, "of the run", "notes/text.txt")
        client.set_terminated(run.run_id, "FAILED")
    removed = client.create_run(used).info
    client.delete_run(removed.run_id)

    with mlflow.start_run(run_id=run.run_id):
        data = numpy_dataset.from_numpy(np.zeros((2, 2)), name="zeros")
        mlflow.log_input(data, context="training", tags={"split": "train"})

    if MLFLOW_3:
        logged = client.create_logged_model(
            used, "forest", run.run_id, {"kind": "tree"}, {"depth": "3"}
        )
        client.finalize_logged_model(logged.model_id, entities.LoggedModelStatus.READY)
    client.create_registered_model("forest", {"owner": "team"}, "of the team")
    for source in (f"runs:/{run.run_id}/model", f"{run.artifact_uri}/model"):
        client.create_model_version("forest", source, run.run_id, {"checked": "yes"})
    client.set_registered_model_alias("forest", "champion", "1")

    mlflow.set_experiment(experiment_id=used)
    with mlflow.start_span("outer") as span:
        span.set_inputs({"question": "who wins?"})
        with mlflow.start_span("inner"):
            pass
        span.set_outputs({"answer": 42})
    mlflow.flush_trace_async_logging()


def read(client: MlflowClient) -> dict[str, Any]:
    """Return all that was logged."""
    experiments = client.search_experiments(ViewType.ALL)
    numbers = [experiment.experiment_id for experiment in experiments]
    runs = client.search_runs(numbers, run_view_type=ViewType.ALL)
    versions = client.search_model_versions()
    # MLflow 2 has its own name for what MLflow 3 calls locations.
    traces = client.search_traces(**{"locations" if MLFLOW_3 else "experiment_ids": numbers})
    logged = client.search_logged_models(numbers) if MLFLOW_3 else []
    found = {
        "experiments": {one.experiment_id: dict(one) for one in experiments},
        "runs": {one.info.run_id: one.to_dictionary() for one in runs},
        "histories": {
            f"{one.info.run_id} {key}": [
                (m.value, m.timestamp, m.step)
                for m in client.get_metric_history(one.info.run_id, key)
            ]
            for one in runs
            for key in one.data.metrics
        },
        "inputs": {one.info.run_id: one.inputs.to_dictionary() for one in runs if one.inputs},
        "models": [
            dict(one)
            | {"latest_versions": None, "aliases": {k: str(v) for k, v in one.aliases.items()}}
            for one in client.search_registered_models()
        ],
        "versions": {f"{one.name} {one.version}": dict(one) for one in versions},
        "logged": [one.to_dictionary() for one in logged],
        "traces": {getattr(one.info, TRACE_ID): one.to_dict() for one in traces},
    }
    result: dict[str, Any] = _plain(json.loads(json.dumps(found, sort_keys=True, default=str)))
    return result


def _plain(value: Any) -> Any:
    """Return what a store and a server's answers have in common.

    Protobuf has no empty value, numbers of versions are text in some messages, and what is said of
    deployment jobs is not stored.
    """
    if isinstance(value, dict):
        kept = {key: _plain(one) for key, one in value.items() if "deployment_job" not in key}
        if "version" in kept:
            kept["version"] = str(kept["version"])
        return kept or None
    if isinstance(value, list):
        return [_plain(one) for one in value] or None
    return None if value == "" else value


if __name__ == "__main__":
    mlflow.set_tracking_uri(sys.argv[2])
    if sys.argv[1] == "fill":
        fill(MlflowClient())
    else:
        print(json.dumps(read(MlflowClient())))
