"""Log a run through the server on this host, read it back, and leave nothing of it.

Ansible gives this program to the interpreter of the version that serves, through standard input.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PARAMS = {"model": "none", "text": "ñ ≤ 1"}
METRICS = {"loss": [0.5, 0.25, 0.125], "score": [-1.5]}
TAGS = {"purpose": "check"}


def prepare() -> None:
    """Log in to the server on loopback; what is set here does not show in `ps auxe`."""
    secrets = Path(os.environ["MLFLOW_HOST_SECRETS"])
    os.environ.update(
        {
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{os.environ['MLFLOW_PORT']}",
            "MLFLOW_TRACKING_USERNAME": os.environ["MLFLOW_CHECK_USERNAME"],
            "MLFLOW_TRACKING_PASSWORD": (secrets / "admin-password").read_text().strip(),
            # It answers now or is not fit for use.
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
        }
    )


@contextlib.contextmanager
def own_experiment(client: Any) -> Iterator[str]:
    """Give an experiment that is gone afterwards, with all that was logged into it."""
    experiment = client.create_experiment(f"check-{uuid.uuid4().hex}")
    try:
        yield experiment
    finally:
        purge(client, experiment)


def purge(client: Any, experiment: str) -> None:
    """Remove an experiment from the database itself: the API would only mark it as deleted."""
    repositories = importlib.import_module("mlflow.store.artifact.artifact_repository_registry")
    store = importlib.import_module("mlflow.store.tracking.sqlalchemy_store").SqlAlchemyStore(
        os.environ["MLFLOW_BACKEND_STORE_URI"], "mlflow-artifacts:/"
    )
    for run in client.search_runs([experiment]):
        # Where artifacts cannot be written they cannot be removed either, and there are none.
        with contextlib.suppress(importlib.import_module("mlflow").MlflowException, OSError):
            repositories.get_artifact_repository(run.info.artifact_uri).delete_artifacts()
        client.delete_run(run.info.run_id)
        store._hard_delete_run(run.info.run_id)  # noqa: SLF001  what `mlflow gc` calls
    client.delete_experiment(experiment)
    store._hard_delete_experiment(experiment)  # noqa: SLF001  see above
    # Who makes an experiment may manage it, which MLflow never forgets.
    text = importlib.import_module("sqlalchemy").text
    with store.ManagedSessionMaker() as session:
        session.execute(
            text(
                "DELETE FROM role_permissions"
                " WHERE resource_type = 'experiment' AND resource_pattern = :experiment"
            ),
            {"experiment": experiment},
        )


def log(client: Any, experiment: str, artifact: bytes) -> str:
    """Log a finished run; return its id."""
    entities = importlib.import_module("mlflow.entities")
    run_id: str = client.create_run(experiment, run_name="check").info.run_id
    client.log_batch(
        run_id,
        metrics=[
            entities.Metric(key, value, timestamp=step + 1, step=step)
            for key, values in METRICS.items()
            for step, value in enumerate(values)
        ],
        params=[entities.Param(key, value) for key, value in PARAMS.items()],
        tags=[entities.RunTag(key, value) for key, value in TAGS.items()],
    )
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "artifact.bin"
        path.write_bytes(artifact)
        client.log_artifact(run_id, str(path))
    client.set_terminated(run_id)
    return run_id


def read(client: Any, run_id: str) -> dict[str, Any]:
    """Return what the server has of a run."""
    run = client.get_run(run_id)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(client.download_artifacts(run_id, "artifact.bin", directory))
        artifact = path.read_bytes()
    return {
        "status": run.info.status,
        "params": run.data.params,
        "metrics": {
            key: [
                metric.value
                for metric in sorted(
                    client.get_metric_history(run_id, key), key=lambda found: found.step
                )
            ]
            for key in run.data.metrics
        },
        "tags": {key: run.data.tags.get(key) for key in TAGS},
        "artifact": artifact,
    }


def main() -> None:
    """Fail with the reason unless everything is read as it was logged."""
    prepare()
    client = importlib.import_module("mlflow").MlflowClient()
    artifact = os.urandom(1024)
    wanted = {
        "status": "FINISHED",
        "params": PARAMS,
        "metrics": METRICS,
        "tags": TAGS,
        "artifact": artifact,
    }
    try:
        with own_experiment(client) as experiment:
            found = read(client, log(client, experiment, artifact))
    except Exception as error:  # noqa: BLE001  whatever it is, it is the reason
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
    different = [name for name, value in wanted.items() if found[name] != value]
    if different:
        sys.exit(f"Read back differently than logged: {', '.join(different)}")


if __name__ == "__main__":
    main()
