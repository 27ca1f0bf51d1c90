"""Train and evaluate the two models of an experiment.

1. Split the matches into those to learn from and those to test with.
2. Fit a model for each side to the first.
3. Compare its predictions with the goals of the second.
4. Where the table's ground truth is known, add the errors that the ground truth reaches on the same
   matches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split
from threadpoolctl import ThreadpoolController

from football import estimators, plots
from football.evaluation import errors, evaluate, irreducible
from football.naming import GROUND_TRUTH_PREFIX, IRREDUCIBLE_PREFIX, SIDES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from football.config import Config
    from football.data import Table

_EXAMPLE_MATCHES = 5


@dataclass(frozen=True)
class Trained:
    """A model for each side, with its metrics, plots, and an example of its input."""

    models: dict[str, Any]
    metrics: dict[str, float]
    example: pd.DataFrame
    pictures: dict[str, bytes]


def train(config: Config, table: Table, name: str = "config") -> Trained:
    """Fit a model for each side, and evaluate it on matches that it has not seen."""
    features, goals = pd.DataFrame(table.features), pd.DataFrame(table.goals)
    learn, test = train_test_split(
        np.arange(len(table)),
        test_size=config.training.test_size,
        random_state=config.training.random_state,
    )
    models: dict[str, Any] = {}
    predictions = []
    # More threads would compete with the other experiments, and might add up in another order.
    with _thread_libraries().limit(limits=1):
        for side, target in zip(SIDES, config.dataset.targets, strict=True):
            model = estimators.make(config, name)
            model.fit(features.iloc[learn], goals[target].iloc[learn])
            predictions.append(model.predict(features.iloc[test]))
            models[side] = model
    actual, predicted = goals.iloc[test].to_numpy(), np.column_stack(predictions)
    metrics = evaluate(actual, predicted)
    if table.means:
        metrics |= _ground_truth_metrics(actual, np.array(table.means)[test])
    example = features.iloc[learn].head(_EXAMPLE_MATCHES)
    return Trained(models, metrics, example, plots.draw(actual, predicted))


def _ground_truth_metrics(actual: NDArray[Any], means: NDArray[Any]) -> dict[str, float]:
    """Return the errors of the true means on these matches, and their expected values."""
    measured = {
        f"{GROUND_TRUTH_PREFIX}{name}": value for name, value in errors(actual, means).items()
    }
    expected = {f"{IRREDUCIBLE_PREFIX}{name}": value for name, value in irreducible(means).items()}
    return measured | expected


@cache
def _thread_libraries() -> ThreadpoolController:
    """Find the libraries that compute in threads; all of them are loaded by now."""
    return ThreadpoolController()
