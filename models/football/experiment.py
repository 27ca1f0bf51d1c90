"""One experiment: two models, one run."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
from mlflow.entities import Metric, Param, RunTag
from mlflow.models import infer_signature

from football import data
from football.errors import TrainingError
from football.evaluation import SIDES, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable

    from football.config import Config

# What a model needs to be loaded; having MLflow find out takes ten times as long as all the rest.
_REQUIREMENTS = [
    f"{name}=={version(name)}"
    for name in ("mlflow", "scikit-learn", "numpy", "pandas", "cloudpickle")
]
_EXAMPLE_MATCHES = 5
_LONGEST_REASON = 1000


@dataclass(frozen=True)
class Trained:
    """A model for each side, the matches it was tested with, and how it did."""

    models: dict[str, Any]
    metrics: dict[str, float]
    split: data.Split


@dataclass(frozen=True)
class Result:
    """A run that ended well."""

    run_id: str
    experiment_id: str
    metrics: dict[str, float]


def run(config: Config, table: data.Table, make: Callable[[], Any]) -> Result:
    """Train, evaluate and log.

    Parameters
    ----------
    config
        What is wanted.
    table
        The matches.
    make
        Makes an untrained model.

    Raises
    ------
    TrainingError
        If the training broke. The run is FAILED then, and its tag `error` says why.
    mlflow.exceptions.MlflowException
        If the server does not take the run.
    """
    experiment = mlflow.set_experiment(config.experiment_name)
    active = mlflow.start_run(
        experiment_id=experiment.experiment_id,
        run_name=config.run_name,
        tags={
            "model_type": config.model_type,
            "config_sha256": config.sha256,
            "data_sha256": table.sha256,
            **{name: str(value) for name, value in config.tags.items()},
        },
    )
    run_id: str = active.info.run_id
    try:
        trained = train(config, table, make)
        _log(run_id, config, trained.metrics)
        for side, model in trained.models.items():
            _log_model(model, f"model_{side}", trained.split)
    except KeyboardInterrupt:
        _end(run_id, config, "interrupted", "KILLED")
        raise
    except Exception as error:  # whatever it was, the run must not look as if it still ran
        _end(run_id, config, f"{type(error).__name__}: {error}", "FAILED")
        if isinstance(error, mlflow.MlflowException):
            raise
        raise TrainingError(f"run {run_id} FAILED: {type(error).__name__}: {error}") from error
    mlflow.end_run()
    return Result(run_id, experiment.experiment_id, trained.metrics)


def train(config: Config, table: data.Table, make: Callable[[], Any]) -> Trained:
    """Fit a model for each side and see how it does with matches that it has not seen."""
    split = data.split(table, config.training)
    models: dict[str, Any] = {}
    predictions = []
    for side, target in zip(SIDES, config.dataset.targets, strict=True):
        model = make()
        model.fit(split.train_features, split.train_goals[target])
        predictions.append(model.predict(split.test_features))
        models[side] = model
    metrics = evaluate(split.test_goals.to_numpy(), np.column_stack(predictions))
    return Trained(models, metrics, split)


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
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in described.items()
    }


def _log(
    run_id: str,
    config: Config,
    metrics: dict[str, float],
    tags: dict[str, str] | None = None,
) -> None:
    """Log all of it in one request."""
    now = int(time.time() * 1000)
    mlflow.MlflowClient().log_batch(
        run_id,
        metrics=[Metric(name, value, now, 0) for name, value in metrics.items()],
        params=[Param(name, value) for name, value in _parameters(config).items()],
        tags=[RunTag(name, value) for name, value in (tags or {}).items()],
    )


def _log_model(model: Any, name: str, split: data.Split) -> None:
    example = split.train_features.head(_EXAMPLE_MATCHES)
    mlflow.sklearn.log_model(
        model,
        name=name,
        signature=infer_signature(example, model.predict(example)),
        input_example=example,
        pip_requirements=_REQUIREMENTS,
        serialization_format="cloudpickle",
    )


def _end(run_id: str, config: Config, reason: str, status: str) -> None:
    """End a run that did not get to its end, with the reason and what it was about."""
    try:
        _log(run_id, config, {}, {"error": reason[:_LONGEST_REASON]})
    finally:
        mlflow.end_run(status)
