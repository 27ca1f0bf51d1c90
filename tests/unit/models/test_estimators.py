"""Every kind on the allow-list learns, and mistakes in its parameters are reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from football import config as configs
from football import estimators
from football.errors import BadInputError
from football.kinds import KINDS, SCALERS, named

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def make(content: dict[str, Any]) -> Callable[[str, dict[str, Any]], Any]:
    def make(kind: str, parameters: dict[str, Any]) -> Any:
        changed = content | {"model_type": kind, "parameters": parameters}
        return estimators.make(configs.check(changed, "c.json"), "c.json")

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_learns_and_is_named_by_its_estimator(
    make: Callable[[str, dict[str, Any]], Any], kind: str
) -> None:
    source = np.random.default_rng(1)
    features = source.normal(1500, 100, (60, 2))

    model = make(KINDS[kind].estimator, {})
    model.fit(features, source.poisson(1.4, 60))

    assert named(KINDS[kind].estimator) == kind
    assert np.isfinite(model.predict(features)).all()


@pytest.mark.parametrize("scaler", SCALERS)
def test_scaler_may_be_chosen(make: Callable[[str, dict[str, Any]], Any], scaler: str) -> None:
    for kind in ("poisson", "random_forest"):
        model = make(kind, {"scaler": scaler})
        first = type(model.steps[0][1]).__name__ if hasattr(model, "steps") else None
        assert first == SCALERS[scaler]


@pytest.mark.parametrize(
    ("kind", "parameters", "complaint"),
    [
        ("random_forest", {"n_estimator": 5}, "did you mean n_estimators?"),
        ("random_forest", {"max_depth": "deep"}, "max_depth"),
        ("random_forest", {"max_depth": -1}, "max_depth"),
        ("linear_regression", {"scaler": "log"}, "one of min_max, none, robust, standard"),
        ("linear_regression", {"scaler": None}, "one of min_max"),
        ("linear_regression", {"scalr": "none"}, "did you mean scaler?"),
    ],
)
def test_parameter_invalid_is_refused_with_its_file(
    make: Callable[[str, dict[str, Any]], Any],
    kind: str,
    parameters: dict[str, Any],
    complaint: str,
) -> None:
    with pytest.raises(BadInputError, match=complaint) as caught:
        make(kind, parameters)

    assert str(caught.value).startswith("c.json: parameters")
