"""One experiment: two models, one run."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow import MlflowClient, MlflowException
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    Metric,
    Param,
    RunTag,
)
from mlflow.models import Model, infer_signature
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.types.schema import ColSpec, Schema, TensorSpec
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH
from sklearn.model_selection import train_test_split
from threadpoolctl import ThreadpoolController

from football import estimators, interruption, limits, plots, registry, tracking
from football.evaluation import errors, evaluate, irreducible
from football.naming import SIDES, registered
from football.task import Outcome
from football.tracking import patiently

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from football.config import Config
    from football.data import Table
    from football.task import Task

# What a model needs to be loaded; having MLflow find out takes ten times as long as all the rest.
_REQUIREMENTS = [
    f"{name}=={version(name)}"
    for name in ("mlflow", "scikit-learn", "numpy", "pandas", "cloudpickle")
]
_EXAMPLE_MATCHES = 5
_LONGEST_REASON = 1000
_LONGEST_DIGEST = 36
_UPLOADS_AT_ONCE = 4
_DATASET_ATTEMPTS = 5
# What PostgreSQL, SQLite and MySQL say of a row that another has just made.
_TAKEN = re.compile("UniqueViolation|UNIQUE constraint failed|Duplicate entry")

logging.getLogger("mlflow").setLevel(logging.WARNING)
# It warns of cloudpickle each time, but the format that it advises cannot hold a random forest.
logging.getLogger("mlflow.sklearn").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Trained:
    """A model for each side, how they did, and what shows it."""

    models: dict[str, Any]
    metrics: dict[str, float]
    example: pd.DataFrame
    pictures: dict[str, bytes]


def run(task: Task) -> Outcome:
    """Train, evaluate and log; whatever happens, the run does not look as if it still ran.

    Parameters
    ----------
    task
        What is wanted.

    Returns
    -------
    Outcome
        FINISHED; or FAILED or KILLED, with the reason, which is the run's tag `error` as well.

    Raises
    ------
    mlflow.exceptions.MlflowException
        If the server does not take the run.
    """
    started = time.monotonic()
    client = MlflowClient()
    with interruption.held():
        created = patiently(lambda: _create_run(client, task), lambda: _created_run(client, task))
    run_id: str = created.info.run_id

    def outcome(status: str, reason: str = "", metrics: dict[str, float] | None = None) -> Outcome:
        seconds = time.monotonic() - started
        return Outcome(task.name, status, seconds, run_id, reason, metrics or {})

    try:
        trained = train(task.config, task.table, task.name)
        with tempfile.TemporaryDirectory(prefix="football-") as directory:
            _log(client, task, created, trained, Path(directory))
        interruption.check()
        with interruption.held():
            patiently(lambda: client.set_terminated(run_id, "FINISHED"))
        return outcome("FINISHED", metrics=trained.metrics)
    except KeyboardInterrupt:
        interruption.caught()
        status, reason = "KILLED", "interrupted"
    except Exception as error:  # noqa: BLE001 -- whatever it was, the others go on
        reason = f"{type(error).__name__}: {tracking.reason(error)}"
        status, reason = "FAILED", reason[:_LONGEST_REASON]
    with interruption.held():
        end(client, run_id, status, reason, _parameters(task.config))
    return outcome(status, reason)


def end(
    client: MlflowClient,
    run_id: str,
    status: str,
    reason: str,
    parameters: dict[str, str] | None = None,
) -> None:
    """End a run that did not get to its end, with the reason and what it was about."""
    params = [Param(name, value) for name, value in (parameters or {}).items()]
    patiently(lambda: client.log_batch(run_id, params=params, tags=[RunTag("error", reason)]))
    patiently(lambda: client.set_terminated(run_id, status))


def train(config: Config, table: Table, name: str = "config") -> Trained:
    """Fit a model for each side and see how it does with matches that it has not seen."""
    features, goals = pd.DataFrame(table.features), pd.DataFrame(table.goals)
    learn, test = train_test_split(
        np.arange(len(table)),
        test_size=config.training.test_size,
        random_state=config.training.random_state,
    )
    models: dict[str, Any] = {}
    predictions = []
    # More threads would compete with the other experiments, and might add up in another order.
    with _threads().limit(limits=1):
        for side, target in zip(SIDES, config.dataset.targets, strict=True):
            model = estimators.make(config, name)
            model.fit(features.iloc[learn], goals[target].iloc[learn])
            predictions.append(model.predict(features.iloc[test]))
            models[side] = model
    actual, predicted = goals.iloc[test].to_numpy(), np.column_stack(predictions)
    metrics = evaluate(actual, predicted)
    if table.means:
        metrics |= _best(actual, np.array(table.means)[test])
    example = features.iloc[learn].head(_EXAMPLE_MATCHES)
    return Trained(models, metrics, example, plots.draw(actual, predicted))


def _best(actual: NDArray[Any], means: NDArray[Any]) -> dict[str, float]:
    """Return what the law itself reaches on these matches, and what is to be expected of it."""
    return {f"law_{name}": value for name, value in errors(actual, means).items()} | {
        f"irreducible_{name}": value for name, value in irreducible(means).items()
    }


@cache
def _threads() -> ThreadpoolController:
    """Find the libraries that compute in threads; all are loaded by now."""
    return ThreadpoolController()


def _create_run(client: MlflowClient, task: Task) -> Any:
    tags = {name: str(value) for name, value in task.config.tags.items()}
    return client.create_run(
        task.experiment_id,
        run_name=task.config.run_name,
        tags=tags
        | task.tags
        | {
            "model_type": task.config.model_type,
            "config_sha256": task.config.sha256,
            "data_sha256": task.table.sha256,
            "attempt": task.attempt,
            "worker": f"{socket.gethostname()}:{os.getpid()}",
        },
    )


def _created_run(client: MlflowClient, task: Task) -> Any:
    """Look whether the run was made although its answer got lost."""
    found = client.search_runs([task.experiment_id], f"tags.attempt = '{task.attempt}'")
    return found[0] if found else None


def _parameters(config: Config) -> dict[str, str]:
    """Return what the run is described by; other values than text as JSON writes them."""
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


def _log(client: MlflowClient, task: Task, run: Any, trained: Trained, directory: Path) -> None:
    """Log all there is; of what can be said at once, all in one request."""
    run_id: str = run.info.run_id
    models = {side: _create_model(client, task, run_id, side) for side in SIDES}
    files: list[tuple[str, Path]] = []
    for side, logged in models.items():
        interruption.check()
        place = directory / side
        _save_model(trained.models[side], trained.example, logged, run_id, place)
        files += [(logged.artifact_location, path) for path in sorted(place.iterdir())]
    for name, content in {
        **trained.pictures,
        "config.json": task.config.model_dump_json(indent=2).encode(),
    }.items():
        path = directory / name
        path.write_bytes(content)
        files.append((run.info.artifact_uri, path))
    interruption.check()
    with interruption.held(), ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
        list(pool.map(_upload, files))
    interruption.check()

    now = int(time.time() * 1000)
    metrics = [
        Metric(name, value, now, 0, model_id=_measured(name, models))
        for name, value in trained.metrics.items()
    ]
    params = [Param(name, value) for name, value in _parameters(task.config).items()]
    patiently(lambda: client.log_batch(run_id, metrics, params))
    dataset = DatasetInput(_dataset(task), [InputTag("mlflow.data.context", "training")])
    _log_input(client, run_id, dataset)
    for logged in models.values():
        patiently(partial(client.finalize_logged_model, logged.model_id, "READY"))
    outputs = [LoggedModelOutput(logged.model_id, 0) for logged in models.values()]
    patiently(
        partial(client.log_outputs, run_id, outputs),
        lambda: True if _has_outputs(client, run_id) else None,
    )
    if task.register:
        for (side, logged), target in zip(models.items(), task.config.dataset.targets, strict=True):
            name = registered(task.config.model_type, target)
            registry.add_version(client, name, run_id, logged, side)


def _log_input(client: MlflowClient, run_id: str, dataset: DatasetInput) -> None:
    """Log what the run learns from.

    Runs of one experiment share the row of their dataset. MLflow's server looks whether it is there
    and then makes it, so of two runs that log it for the first time at once one is refused, and
    nothing of its request is kept. Asked again, it finds the row.
    """
    for attempts_left in reversed(range(_DATASET_ATTEMPTS)):
        try:
            patiently(lambda: client.log_inputs(run_id, datasets=[dataset]))
        except MlflowException as error:
            if not attempts_left or not _TAKEN.search(str(error)):
                raise
        else:
            return


def _has_outputs(client: MlflowClient, run_id: str) -> bool:
    outputs = client.get_run(run_id).outputs
    return bool(outputs and outputs.model_outputs)


def _measured(metric: str, models: dict[str, Any]) -> str | None:
    """Return the id of the model that a metric measures; none measures both, or the law."""
    name, _, side = metric.rpartition("_")
    if side not in models or name.startswith(("law_", "irreducible_")):
        return None
    return str(models[side].model_id)


def _create_model(client: MlflowClient, task: Task, run_id: str, side: str) -> Any:
    name = f"model_{side}"

    def created() -> Any:
        found = client.search_logged_models(
            [task.experiment_id], f"source_run_id = '{run_id}' AND name = '{name}'"
        )
        return found[0] if found else None

    return patiently(
        lambda: client.create_logged_model(
            task.experiment_id,
            name,
            source_run_id=run_id,
            params=_parameters(task.config),
        ),
        created,
    )


def _save_model(
    model: Any, example: pd.DataFrame, logged: Any, run_id: str, directory: Path
) -> None:
    """Write the files of a model, with what it takes and gives."""
    mlflow.sklearn.save_model(
        model,
        directory,
        mlflow_model=Model(
            artifact_path=logged.artifact_location,
            model_uuid=logged.model_id,
            model_id=logged.model_id,
            run_id=run_id,
        ),
        signature=infer_signature(example, model.predict(example)),
        input_example=example,
        pip_requirements=_REQUIREMENTS,
        serialization_format="cloudpickle",
    )


def _upload(file: tuple[str, Path]) -> None:
    uri, path = file
    patiently(lambda: get_artifact_repository(uri).log_artifact(str(path)))


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
