"""How good predictions are, under the names that a deployment's users rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import accuracy_score, mean_squared_error, precision_recall_fscore_support

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDES = ("local", "visitante")


def evaluate(actual: NDArray[Any], predicted: NDArray[Any]) -> dict[str, float]:
    """Compare predicted goals with those that fell.

    Parameters
    ----------
    actual, predicted
        Goals of the host and of the guest, of shape (matches, 2).

    Returns
    -------
    dict[str, float]
        The mean squared error of the predictions as they are, in goals squared; then, with each
        prediction rounded to whole goals (halves to the even number, nothing below 0), the share of
        exact hits, and precision, recall and F1 as unweighted means over all numbers of goals
        that were scored or predicted, 0 where one is undefined. For each side, and the means of the
        two sides for the first and the second.
    """
    metrics: dict[str, float] = {}
    for index, side in enumerate(SIDES):
        goals, prediction = actual[:, index], predicted[:, index]
        whole = np.clip(np.rint(prediction), 0, None).astype(np.int64)
        precision, recall, f1, _ = precision_recall_fscore_support(
            goals, whole, average="macro", zero_division=0
        )
        metrics |= {
            f"mse_{side}": float(mean_squared_error(goals, prediction)),
            f"accuracy_{side}": float(accuracy_score(goals, whole)),
            f"precision_{side}": float(precision),
            f"recall_{side}": float(recall),
            f"f1_{side}": float(f1),
        }
    for name in ("mse", "accuracy"):
        metrics[f"{name}_promedio"] = float(np.mean([metrics[f"{name}_{side}"] for side in SIDES]))
    return metrics
