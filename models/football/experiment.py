"""One experiment: two models, one run."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import Metric, Param, RunTag
from mlflow.models import infer_signature
from sklearn.model_selection import train_test_split

from football.errors import TrainingError
from football.evaluation import SIDES, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable

    from football.config import Config
    from football.data import Table

# What a model needs to be loaded; having MLflow find out takes ten times as long as all the rest.
_REQUIREMENTS = [
    f"{name}=={version(name)}"
    for name in ("mlflow", "scikit-learn", "numpy", "pandas", "cloudpickle")
]
_EXAMPLE_MATCHES = 5
_LONGEST_REASON = 1000

logging.getLogger("mlflow").setLevel(logging.WARNING)
# It warns of cloudpickle each time, but the format that it advises cannot hold a random forest.
logging.getLogger("mlflow.sklearn").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Trained:
    """A model for each side, how they did, and a few matches to show what they take."""

    models: dict[str, Any]
    metrics: dict[str, float]
    example: pd.DataFrame


@dataclass(frozen=True)
class Result:
    """A run that ended well."""

    run_id: str
    experiment_id: str
    metrics: dict[str, float]


def run(config: Config, table: Table, make: Callable[[], Any]) -> Result:
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
        # Models come first: MLflow asks for each metric's history if there are any by then.
        models = {side: _log_model(model, side, trained) for side, model in trained.models.items()}
        _log(run_id, config, trained.metrics, models)
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


def train(config: Config, table: Table, make: Callable[[], Any]) -> Trained:
    """Fit a model for each side and see how it does with matches that it has not seen."""
    parts = train_test_split(
        pd.DataFrame(table.features),
        pd.DataFrame(table.goals),
        test_size=config.training.test_size,
        random_state=config.training.random_state,
    )
    learn_features, test_features, learn_goals, test_goals = parts
    models: dict[str, Any] = {}
    predictions = []
    for side, target in zip(SIDES, config.dataset.targets, strict=True):
        model = make()
        model.fit(learn_features, learn_goals[target])
        predictions.append(model.predict(test_features))
        models[side] = model
    metrics = evaluate(test_goals.to_numpy(), np.column_stack(predictions))
    return Trained(models, metrics, learn_features.head(_EXAMPLE_MATCHES))


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
    models: dict[str, str],
    tags: dict[str, str] | None = None,
) -> None:
    """Log all of it in one request; a side's metrics are those of its model as well."""
    now = int(time.time() * 1000)
    mlflow.MlflowClient().log_batch(
        run_id,
        metrics=[
            Metric(name, value, now, 0, model_id=models.get(name.rpartition("_")[2]))
            for name, value in metrics.items()
        ],
        params=[Param(name, value) for name, value in _parameters(config).items()],
        tags=[RunTag(name, value) for name, value in (tags or {}).items()],
    )


def _log_model(model: Any, side: str, trained: Trained) -> str:
    """Log a model with what it takes and gives; return its id."""
    logged = mlflow.sklearn.log_model(
        model,
        name=f"model_{side}",
        signature=infer_signature(trained.example, model.predict(trained.example)),
        input_example=trained.example,
        pip_requirements=_REQUIREMENTS,
        serialization_format="cloudpickle",
    )
    return str(logged.model_id)


def _end(run_id: str, config: Config, reason: str, status: str) -> None:
    """End a run that did not get to its end, with the reason and what it was about."""
    try:
        _log(run_id, config, {}, {}, {"error": reason[:_LONGEST_REASON]})
    finally:
        mlflow.end_run(status)
