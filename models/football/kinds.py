"""The kinds of models that a config may name: regressors of scikit-learn that suit a league."""

from __future__ import annotations

import re
from typing import NamedTuple


class Kind(NamedTuple):
    """A regressor, by names alone: importing it takes seconds, and most programs need few."""

    module: str
    estimator: str
    # Trees do not mind the scale of a feature. Distances, penalties and solvers do.
    scaled: bool = False


KINDS = {
    "decision_tree": Kind("sklearn.tree", "DecisionTreeRegressor"),
    "dummy": Kind("sklearn.dummy", "DummyRegressor"),
    "elastic_net": Kind("sklearn.linear_model", "ElasticNet", scaled=True),
    "extra_trees": Kind("sklearn.ensemble", "ExtraTreesRegressor"),
    "gradient_boosting": Kind("sklearn.ensemble", "GradientBoostingRegressor"),
    "hist_gradient_boosting": Kind("sklearn.ensemble", "HistGradientBoostingRegressor"),
    "k_neighbors": Kind("sklearn.neighbors", "KNeighborsRegressor", scaled=True),
    "lasso": Kind("sklearn.linear_model", "Lasso", scaled=True),
    "linear_regression": Kind("sklearn.linear_model", "LinearRegression", scaled=True),
    "poisson": Kind("sklearn.linear_model", "PoissonRegressor", scaled=True),
    "random_forest": Kind("sklearn.ensemble", "RandomForestRegressor"),
    "ridge": Kind("sklearn.linear_model", "Ridge", scaled=True),
    "svr": Kind("sklearn.svm", "SVR", scaled=True),
    "tweedie": Kind("sklearn.linear_model", "TweedieRegressor", scaled=True),
}

# What `parameters.scaler` may say instead of what suits the kind.
SCALERS = {
    "min_max": "MinMaxScaler",
    "none": None,
    "robust": "RobustScaler",
    "standard": "StandardScaler",
}


def named(name: str) -> str | None:
    """Return the kind of this name, or of the estimator of this name; None if there is none."""
    letters = _letters(name)
    for kind, (_, estimator, _) in KINDS.items():
        if letters in (_letters(kind), _letters(estimator)):
            return kind
    return None


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower()).removesuffix("regressor")
