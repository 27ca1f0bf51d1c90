"""The metrics are what their documentation says."""

from __future__ import annotations

import numpy as np
import pytest
from football.evaluation import evaluate
from hypothesis import given
from hypothesis import strategies as st

NAMES = {
    f"{name}_{side}"
    for name in ("mse", "accuracy", "precision", "recall", "f1")
    for side in ("local", "visitante")
} | {"mse_promedio", "accuracy_promedio"}

goals = st.integers(0, 12)
predictions = st.floats(-5, 50)


def test_values_of_a_table_worked_by_hand() -> None:
    actual = np.array([[0, 1], [1, 1], [2, 0], [0, 3]])
    predicted = np.array([[0.4, 1.0], [0.6, 1.2], [1.2, 0.9], [-0.3, 1.4]])

    metrics = evaluate(actual, predicted)

    # Host, rounded: 0 1 1 0. Guest, rounded: 1 1 1 1.
    assert metrics == pytest.approx(
        {
            "mse_local": (0.16 + 0.16 + 0.64 + 0.09) / 4,
            "mse_visitante": (0 + 0.04 + 0.81 + 2.56) / 4,
            "mse_promedio": (1.05 + 3.41) / 8,
            "accuracy_local": 3 / 4,
            "accuracy_visitante": 2 / 4,
            "accuracy_promedio": 5 / 8,
            "precision_local": (1 + 1 / 2 + 0) / 3,
            "recall_local": (1 + 1 + 0) / 3,
            "f1_local": (1 + 2 / 3 + 0) / 3,
            "precision_visitante": (0 + 2 / 4 + 0) / 3,
            "recall_visitante": (0 + 1 + 0) / 3,
            "f1_visitante": (0 + 2 / 3 + 0) / 3,
        }
    )


def test_perfect_prediction_is_perfect() -> None:
    actual = np.array([[0, 1], [3, 2]])

    metrics = evaluate(actual, actual.astype(float))

    assert {name for name, value in metrics.items() if value == 0} == {
        "mse_local",
        "mse_visitante",
        "mse_promedio",
    }
    assert {value for value in metrics.values() if value} == {1}


@given(st.lists(st.tuples(goals, goals, predictions, predictions), min_size=1, max_size=30))
def test_any_prediction_gives_all_metrics_within_their_bounds(
    matches: list[tuple[int, int, float, float]],
) -> None:
    table = np.array(matches)

    metrics = evaluate(table[:, :2].astype(int), table[:, 2:])

    assert metrics.keys() == NAMES
    assert all(value >= 0 for value in metrics.values())
    assert all(value <= 1 for name, value in metrics.items() if not name.startswith("mse"))
