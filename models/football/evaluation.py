"""How good predictions are, under the names that a deployment's users rely on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import gammaln, xlogy
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from football.naming import SIDES

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A prediction is read as the mean of a Poisson distribution, which is above 0.
_LEAST_MEAN, _LARGEST_MEAN = 0.01, 50.0


def evaluate(actual: NDArray[Any], predicted: NDArray[Any]) -> dict[str, float]:
    """Compare predicted goals with those that fell.

    Parameters
    ----------
    actual, predicted
        Goals of the host and of the guest, of shape (matches, 2).

    Returns
    -------
    dict[str, float]
        What `errors` returns; then, with each prediction rounded to whole goals (halves to the even
        number, nothing below 0), the share of exact hits, and precision, recall and F1 as
        unweighted means over all numbers of goals that were scored or predicted, 0 where one is
        undefined. For each side, and the mean of the two sides for the first.
    """
    metrics = errors(actual, predicted)
    for index, side in enumerate(SIDES):
        goals, prediction = actual[:, index], predicted[:, index]
        whole = np.clip(np.rint(prediction), 0, None).astype(np.int64)
        precision, recall, f1, _ = precision_recall_fscore_support(
            goals, whole, average="macro", zero_division=0
        )
        metrics |= {
            f"accuracy_{side}": float(accuracy_score(goals, whole)),
            f"precision_{side}": float(precision),
            f"recall_{side}": float(recall),
            f"f1_{side}": float(f1),
        }
    return metrics | _averages(metrics, "accuracy")


def errors(actual: NDArray[Any], predicted: NDArray[Any]) -> dict[str, float]:
    """Return the errors of predicted means, which can be a model's or those of the ground truth.

    Parameters
    ----------
    actual, predicted
        Goals of the host and of the guest, of shape (matches, 2).

    Returns
    -------
    dict[str, float]
        For each side and as the mean of both: the mean squared error (goals squared), the mean
        absolute error (goals), and the mean Poisson deviance (twice nats). And the log loss (nats)
        of win, draw and loss, as they follow from two independent Poisson distributions.
    """
    metrics: dict[str, float] = {}
    means = np.clip(predicted, _LEAST_MEAN, _LARGEST_MEAN)
    for index, side in enumerate(SIDES):
        goals, prediction = actual[:, index], predicted[:, index]
        metrics |= {
            f"mse_{side}": _mean((goals - prediction) ** 2),
            f"mae_{side}": _mean(np.abs(goals - prediction)),
            f"poisson_deviance_{side}": _mean(_deviance(goals, means[:, index])),
        }
    metrics |= _averages(metrics, "mse", "mae", "poisson_deviance")
    outcome = 1 - np.sign(actual[:, 0] - actual[:, 1]).astype(np.int64)
    likely = outcomes(means)[np.arange(len(actual)), outcome]
    metrics["log_loss"] = -_mean(np.log(np.clip(likely, 1e-15, None)))
    return metrics


def irreducible(means: NDArray[Any]) -> dict[str, float]:
    """Return the expected errors of the ground truth, which no model can go below in the long run.

    Parameters
    ----------
    means
        The means of the host's and the guest's goals, of shape (matches, 2).

    Returns
    -------
    dict[str, float]
        Expected values of what `errors` measures, but for the absolute error. Chance decides how
        far what is measured is from them; `errors` of the true means has the same chance as a
        model's.
    """
    metrics: dict[str, float] = {}
    goals = np.arange(_most_goals(means))
    for index, side in enumerate(SIDES):
        mean = means[:, index : index + 1]
        expected = np.sum(_probabilities(mean[:, 0], len(goals)) * _deviance(goals, mean), axis=1)
        metrics |= {
            # The variance of a Poisson distribution is its mean.
            f"mse_{side}": _mean(mean[:, 0]),
            f"poisson_deviance_{side}": _mean(expected),
        }
    likely = outcomes(means)
    metrics |= _averages(metrics, "mse", "poisson_deviance")
    return metrics | {"log_loss": -_mean(np.sum(xlogy(likely, likely), axis=1))}


def outcomes(means: NDArray[Any]) -> NDArray[Any]:
    """Return how likely a win of the host, a draw and a win of the guest are.

    Parameters
    ----------
    means
        The means of the host's and the guest's goals, of shape (matches, 2).

    Returns
    -------
    NDArray
        Probabilities of shape (matches, 3).
    """
    size = _most_goals(means)
    host, guest = (_probabilities(means[:, index], size) for index in range(2))
    fewer_of_guest = np.cumsum(guest, axis=1) - guest
    fewer_of_host = np.cumsum(host, axis=1) - host
    likely = np.stack(
        [
            np.sum(host * fewer_of_guest, axis=1),
            np.sum(host * guest, axis=1),
            np.sum(guest * fewer_of_host, axis=1),
        ],
        axis=1,
    )
    probabilities: NDArray[Any] = likely / likely.sum(axis=1, keepdims=True)
    return probabilities


def _mean(values: list[float] | NDArray[Any]) -> float:
    """Return the mean, the same to its last digit in every process.

    What NumPy and BLAS add up depends, in the last bits, on where in memory the values lie. So each
    value counts with nine decimals, and the order of the sum does not matter.
    """
    return math.fsum(np.round(values, 9)) / len(values)


def _averages(metrics: dict[str, float], *names: str) -> dict[str, float]:
    return {
        f"{name}_promedio": _mean([metrics[f"{name}_{side}"] for side in SIDES]) for name in names
    }


def _deviance(goals: NDArray[Any], mean: NDArray[Any]) -> NDArray[Any]:
    deviance: NDArray[Any] = 2 * (xlogy(goals, goals / mean) - goals + mean)
    return deviance


def _most_goals(means: NDArray[Any]) -> int:
    """Return the number of goals beyond which nothing is likely."""
    largest = float(np.max(means))
    return int(largest + 12 * np.sqrt(largest) + 20)


def _probabilities(means: NDArray[Any], size: int) -> NDArray[Any]:
    """Return how likely 0, 1, … goals are, of shape (matches, size)."""
    goals = np.arange(size)
    mean = means[:, np.newaxis]
    likely: NDArray[Any] = np.exp(xlogy(goals, mean) - mean - gammaln(goals + 1))
    return likely
