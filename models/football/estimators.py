"""The kinds of models that a config may name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression, PoissonRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from football.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path

    from football.config import Config

ESTIMATORS: dict[str, type[Any]] = {
    "gradient_boosting": GradientBoostingRegressor,
    "linear_regression": LinearRegression,
    "poisson": PoissonRegressor,
    "random_forest": RandomForestRegressor,
}
# Trees do not mind the scale of a feature. The solver of the Poisson regression does.
_SCALED = {"linear_regression", "poisson"}


def make(config: Config, config_path: Path) -> Any:
    """Make an untrained model, for one of the two targets.

    What the config leaves open stays as scikit-learn has it, except that whatever is random is
    seeded with `training.random_state`.

    Raises
    ------
    BadInputError
        If scikit-learn knows no such parameter or does not take its value.
    """
    estimator = ESTIMATORS[config.model_type]()
    known = estimator.get_params()
    for name in config.parameters:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1) or sorted(known)
            raise BadInputError(
                f"{config_path}: parameters.{name} is no parameter of "
                f"{type(estimator).__name__}: did you mean {' or '.join(near)}?"
            )
    if "random_state" in known:
        estimator.set_params(random_state=config.training.random_state)
    estimator.set_params(**config.parameters)
    try:
        # What fit() does first; the alternative is to find out when the run has begun.
        estimator._validate_params()  # noqa: SLF001 -- there is no public way to check without fitting
    except ValueError as error:
        raise BadInputError(f"{config_path}: parameters: {error}") from None
    if config.model_type in _SCALED:
        return make_pipeline(StandardScaler(), estimator)
    return estimator
