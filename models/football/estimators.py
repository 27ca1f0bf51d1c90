"""Make the model that a config describes."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Any

from football.errors import BadInputError, one_line, shown
from football.kinds import KINDS, SCALERS

if TYPE_CHECKING:
    from football.config import Config

_SCALER = "scaler"


def make(config: Config, name: str) -> Any:
    """Make an untrained model, for one of the two targets.

    What the config leaves open stays as scikit-learn has it, except that whatever is random is
    seeded with `training.random_state`.

    Parameters
    ----------
    config
        What is wanted.
    name
        The config's file, for messages.

    Raises
    ------
    BadInputError
        If scikit-learn knows no such parameter or does not take its value.
    """
    kind = KINDS[config.model_type]
    parameters = dict(config.parameters)
    scaler = parameters.pop(_SCALER, "standard" if kind.scaled else "none")
    if not isinstance(scaler, str) or scaler not in SCALERS:
        raise BadInputError(
            f"{name}: parameters.{_SCALER} is {shown(scaler)}. It must be one of "
            f"{', '.join(SCALERS)}"
        )
    estimator = getattr(importlib.import_module(kind.module), kind.estimator)()
    known = estimator.get_params()
    for parameter, value in parameters.items():
        if parameter not in known:
            names = [*known, _SCALER]
            near = difflib.get_close_matches(parameter, names, 1) or sorted(names)
            raise BadInputError(
                f"{name}: parameters.{one_line(parameter)} is not a parameter of {kind.estimator}: "
                f"did you mean {' or '.join(near)}?"
            )
        # To Python true is the number 1, and scikit-learn takes it as one.
        constraints = getattr(estimator, "_parameter_constraints", {}).get(parameter, ())
        if isinstance(value, bool) and not {"boolean", "verbose"} & _texts(constraints):
            raise BadInputError(
                f"{name}: parameters.{parameter} is {shown(value)}, but {kind.estimator} does not "
                "take true or false there. Write a number, a text or null"
            )
    if "random_state" in known:
        estimator.set_params(random_state=config.training.random_state)
    estimator.set_params(**parameters)
    try:
        # What fit() does first; the alternative is to find out when the run has begun.
        estimator._validate_params()  # noqa: SLF001 -- there is no public way to check without fitting
    except (ValueError, TypeError, OverflowError) as error:
        raise BadInputError(f"{name}: parameters: {one_line(str(error))}") from None
    if (scaled := SCALERS[scaler]) is None:
        return estimator
    preprocessing = importlib.import_module("sklearn.preprocessing")
    pipeline = importlib.import_module("sklearn.pipeline")
    return pipeline.make_pipeline(getattr(preprocessing, scaled)(), estimator)


def _texts(constraints: Any) -> set[str]:
    """Return those of scikit-learn's constraints that are written as texts."""
    return {one for one in constraints if isinstance(one, str)} if constraints else set()
