"""The metrics are what their documentation says."""

from __future__ import annotations

import numpy as np
import pytest
from football import league
from football.evaluation import errors, evaluate, irreducible, outcomes
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import skellam
from sklearn.metrics import mean_poisson_deviance

SIDES = ("local", "visitante")
AVERAGED = ("mse", "mae", "poisson_deviance", "accuracy")
NAMES = {
    *(f"{name}_{side}" for name in (*AVERAGED, "precision", "recall", "f1") for side in SIDES),
    *(f"{name}_promedio" for name in AVERAGED),
    "log_loss",
}

goals = st.integers(0, 12)
predictions = st.floats(-5, 50)


def test_evaluate_gives_the_values_computed_by_hand() -> None:
    actual = np.array([[0, 1], [1, 1], [2, 0], [0, 3]])
    predicted = np.array([[0.4, 1.0], [0.6, 1.2], [1.2, 0.9], [-0.3, 1.4]])

    metrics = evaluate(actual, predicted)

    # Host, rounded: 0 1 1 0. Guest, rounded: 1 1 1 1.
    expected = pytest.approx(
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
            "mae_local": (0.4 + 0.4 + 0.8 + 0.3) / 4,
            "mae_visitante": (0 + 0.2 + 0.9 + 1.6) / 4,
        }
    )
    assert {name: metrics[name] for name in expected.expected} == expected


def test_evaluate_perfect_prediction_has_no_error() -> None:
    actual = np.array([[0, 1], [3, 2]])

    metrics = evaluate(actual, actual.astype(float))

    for name, value in metrics.items():
        if name.startswith(("mse", "mae")):
            assert value == 0
        elif name.startswith(("accuracy", "precision", "recall", "f1")):
            assert value == 1


def test_errors_deviance_equals_that_of_scikit_learn() -> None:
    actual = np.array([[0, 1], [3, 2], [1, 1]])
    predicted = np.array([[0.5, 1.5], [2.5, 0.7], [1.1, 1.2]])

    metrics = evaluate(actual, predicted)

    for index, side in enumerate(SIDES):
        theirs = mean_poisson_deviance(actual[:, index], predicted[:, index])
        assert metrics[f"poisson_deviance_{side}"] == pytest.approx(theirs)


def test_outcomes_are_those_of_the_difference_of_two_poisson_variables() -> None:
    means = np.array([[1.4, 1.1], [0.02, 4.0], [30.0, 50.0]])

    likely = outcomes(means)

    for (host, guest), (win, draw, loss) in zip(means, likely, strict=True):
        assert draw == pytest.approx(skellam.pmf(0, host, guest))
        assert win == pytest.approx(skellam.sf(0, host, guest))
        assert loss == pytest.approx(skellam.cdf(-1, host, guest))


def test_log_loss_is_that_of_what_happened() -> None:
    means = np.array([[1.4, 1.1], [1.4, 1.1], [1.4, 1.1]])
    [(win, draw, loss), *_] = outcomes(means)

    metrics = evaluate(np.array([[2, 1], [0, 0], [0, 3]]), means)

    assert metrics["log_loss"] == pytest.approx(-np.mean(np.log([win, draw, loss])))


def test_ground_truth_reaches_its_expected_error_and_nothing_else_does_better() -> None:
    matches = list(league.play(seasons=60))
    means = np.array(
        [league.GROUND_TRUTH.means(m.rating_local, m.rating_visitante) for m in matches]
    )
    actual = np.array([(m.goles_local, m.goles_visitante) for m in matches])

    expected, reached = irreducible(means), errors(actual, means)

    for name, value in expected.items():
        assert reached[name] == pytest.approx(value, rel=0.03)
        for worse in (means * 1.1, means * 0.9, np.broadcast_to(means.mean(axis=0), means.shape)):
            assert errors(actual, worse)[name] > reached[name]


@given(st.lists(st.tuples(goals, goals, predictions, predictions), min_size=1, max_size=30))
def test_any_prediction_gives_all_metrics_within_their_bounds(
    matches: list[tuple[int, int, float, float]],
) -> None:
    table = np.array(matches)

    metrics = evaluate(table[:, :2].astype(int), table[:, 2:])

    assert metrics.keys() == NAMES
    assert all(value >= 0 for value in metrics.values())
    shares = ("accuracy", "precision", "recall", "f1")
    assert all(value <= 1 for name, value in metrics.items() if name.startswith(shares))
