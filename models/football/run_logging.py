"""Everything that an experiment logs to its run.

1. Create a logged model for each side; meanwhile log the dataset, and write the plots and the
   config to a temporary directory and upload them.
2. Write the files of each model; upload those of one while those of the other are written.
3. Log metrics and parameters in one request, set the logged models to READY, and link them to the
   run.
4. Add a version of each to its registered model, unless the task says otherwise.

Requests are sent in the background (`football.background`). Steps 3 and 4 begin when the server has
acknowledged all of those before. Ctrl-C takes effect between two files, and while one waits.
"""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow.sklearn
from mlflow import MlflowException
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Metric, Param
from mlflow.models import Model, infer_signature
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.types.schema import ColSpec, Schema, TensorSpec
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from football import interruption, limits, registry
from football.background import Requests, requests_at_once
from football.naming import GROUND_TRUTH_PREFIX, IRREDUCIBLE_PREFIX, SIDES, registered
from football.tracking import with_retries

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

    from football.config import Config
    from football.task import Task
    from football.training import Trained

# The requirements of each model; inferring them takes MLflow ten times as long as all the rest.
_REQUIREMENTS = [
    f"{name}=={version(name)}"
    for name in ("mlflow", "scikit-learn", "numpy", "pandas", "cloudpickle")
]
_LONGEST_DIGEST = 36
_DATASET_ATTEMPTS = 5
# Messages of PostgreSQL, SQLite and MySQL about a row that another request has just inserted.
_DUPLICATE_ROW = re.compile("UniqueViolation|UNIQUE constraint failed|Duplicate entry")

logging.getLogger("mlflow").setLevel(logging.WARNING)
# It warns of cloudpickle each time, but the format that it advises cannot hold a random forest.
logging.getLogger("mlflow.sklearn").setLevel(logging.ERROR)


def log(client: MlflowClient, task: Task, run: Run, trained: Trained) -> None:
    """Log a trained experiment to its run; return when the server has acknowledged everything."""
    run_id: str = run.info.run_id
    with (
        tempfile.TemporaryDirectory(prefix="football-") as directory,
        Requests(requests_at_once(os.environ)) as requests,
    ):
        created = {side: requests.send(_create_model, client, task, run_id, side) for side in SIDES}
        dataset = DatasetInput(_dataset(task), [InputTag("mlflow.data.context", "training")])
        requests.send(log_dataset, client, run_id, dataset)
        _upload_files(requests, task.config, trained, run, Path(directory))
        models = {side: creation.result() for side, creation in created.items()}
        _upload_models(requests, models, trained, run_id, Path(directory))
        requests.wait()
        metrics = trained.metrics
        requests.send(_log_metrics_and_parameters, client, task.config, run_id, metrics, models)
        _finish_models(requests, client, run_id, models)
        requests.wait()
        if task.register:
            _register(requests, client, task.config, run_id, models)
            requests.wait()


def described_parameters(config: Config) -> dict[str, str]:
    """Return the parameters that describe a run; values other than text are written as JSON."""
    described = {
        "model_type": config.model_type,
        **config.parameters,
        "dataset.file_path": config.dataset.file_path,
        "dataset.features": config.dataset.features,
        "dataset.targets": config.dataset.targets,
        "training.test_size": config.training.test_size,
        "training.random_state": config.training.random_state,
    }
    texts = {name: limits.as_text(value) for name, value in described.items()}
    if len(texts["dataset.features"]) > MAX_PARAM_VAL_LENGTH:
        count = len(config.dataset.features)
        texts["dataset.features"] = f"{count} columns, listed in the artifact config.json"
    return texts


def _create_model(client: MlflowClient, task: Task, run_id: str, side: str) -> LoggedModel:
    """Create a logged model, once: run and name find it if the server's answer was lost."""
    name = f"model_{side}"

    def create() -> LoggedModel:
        return client.create_logged_model(
            task.experiment_id,
            name,
            source_run_id=run_id,
            params=described_parameters(task.config),
        )

    def find() -> LoggedModel | None:
        found = client.search_logged_models(
            [task.experiment_id], f"source_run_id = '{run_id}' AND name = '{name}'"
        )
        return found[0] if found else None

    return with_retries(create, find)


def _upload_models(
    requests: Requests,
    models: dict[str, LoggedModel],
    trained: Trained,
    run_id: str,
    directory: Path,
) -> None:
    """Write the files of both models, each below a directory of its own, and upload them."""
    for side, logged in models.items():
        interruption.check()
        place = directory / side
        _save_model(trained.models[side], trained, logged, run_id, place)
        for path in sorted(place.iterdir()):
            requests.send(_upload, logged.artifact_location, path)


def _save_model(
    model: Any, trained: Trained, logged: LoggedModel, run_id: str, directory: Path
) -> None:
    """Write the files of a model, with its signature and an example of its input."""
    metadata = Model(
        artifact_path=logged.artifact_location,
        model_uuid=logged.model_id,
        model_id=logged.model_id,
        run_id=run_id,
    )
    mlflow.sklearn.save_model(
        model,
        directory,
        mlflow_model=metadata,
        signature=infer_signature(trained.example, model.predict(trained.example)),
        input_example=trained.example,
        pip_requirements=_REQUIREMENTS,
        serialization_format="cloudpickle",
    )


def _upload_files(
    requests: Requests, config: Config, trained: Trained, run: Run, directory: Path
) -> None:
    """Write the plots and the config, and upload them."""
    contents = trained.pictures | {"config.json": config.model_dump_json(indent=2).encode()}
    for name, content in contents.items():
        interruption.check()
        path = directory / name
        path.write_bytes(content)
        requests.send(_upload, run.info.artifact_uri, path)


def _upload(location: str, path: Path) -> None:
    repository = get_artifact_repository(location)
    with_retries(lambda: repository.log_artifact(str(path)))


def _log_metrics_and_parameters(
    client: MlflowClient,
    config: Config,
    run_id: str,
    values: dict[str, float],
    models: dict[str, LoggedModel],
) -> None:
    now = int(time.time() * 1000)
    metrics = [
        Metric(name, value, now, 0, model_id=_measured_model(name, models))
        for name, value in values.items()
    ]
    params = [Param(name, value) for name, value in described_parameters(config).items()]
    with_retries(lambda: client.log_batch(run_id, metrics, params))


def _measured_model(metric: str, models: dict[str, LoggedModel]) -> str | None:
    """Return the id of the model that a metric measures.

    None for a metric of both models, and for one of the ground truth.
    """
    name, _, side = metric.rpartition("_")
    if side not in models or name.startswith((GROUND_TRUTH_PREFIX, IRREDUCIBLE_PREFIX)):
        return None
    return str(models[side].model_id)


def log_dataset(client: MlflowClient, run_id: str, dataset: DatasetInput) -> None:
    """Log the dataset of a run.

    Runs of one experiment share the row of their dataset. MLflow's server looks for the row and
    then inserts it. When two runs log the same new dataset at once, the server refuses one of the
    requests as a duplicate and keeps nothing of it. A repeated request finds the row.
    """
    for attempts_left in reversed(range(_DATASET_ATTEMPTS)):
        try:
            with_retries(lambda: client.log_inputs(run_id, datasets=[dataset]))
        except MlflowException as error:
            if not attempts_left or not _DUPLICATE_ROW.search(str(error)):
                raise
        else:
            return


def _dataset(task: Task) -> Dataset:
    """Describe the table; its digest is the beginning of `data_sha256`."""
    path, table = task.config.dataset.file_path, task.table
    columns: list[ColSpec | TensorSpec] = [ColSpec("double", name) for name in table.features]
    columns += [ColSpec("long", name) for name in table.goals]
    return Dataset(
        name=Path(path).stem,
        digest=table.sha256[:_LONGEST_DIGEST],
        source_type="local",
        source=json.dumps({"uri": path}),
        schema=json.dumps({"mlflow_colspec": Schema(columns).to_dict()}),
        profile=json.dumps({"num_rows": len(table), "num_elements": len(table) * len(columns)}),
    )


def _finish_models(
    requests: Requests, client: MlflowClient, run_id: str, models: dict[str, LoggedModel]
) -> None:
    """Set the logged models to READY, and link them to the run."""
    for logged in models.values():
        ready = partial(client.finalize_logged_model, logged.model_id, "READY")
        requests.send(with_retries, ready)
    outputs = [LoggedModelOutput(logged.model_id, 0) for logged in models.values()]

    def find() -> bool | None:
        found = client.get_run(run_id).outputs
        return True if found and found.model_outputs else None

    def link() -> bool:
        client.log_outputs(run_id, outputs)
        return True

    requests.send(with_retries, link, find)


def _register(
    requests: Requests,
    client: MlflowClient,
    config: Config,
    run_id: str,
    models: dict[str, LoggedModel],
) -> None:
    """Add a version of each logged model to its registered model."""
    for (side, logged), target in zip(models.items(), config.dataset.targets, strict=True):
        name = registered(config.model_type, target)
        requests.send(registry.add_version, client, name, run_id, logged, side)
