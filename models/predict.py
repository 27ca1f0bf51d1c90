"""Predict a match with the champions of the registry."""

from __future__ import annotations

import argparse
import difflib
import json
import math
import os
import sys
from functools import partial
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from football import numbers, tracking
from football.connection import check_server
from football.errors import BadInputError, one_line, shown
from football.kinds import KINDS, named
from football.naming import CHAMPION, SIDES, registered

if TYPE_CHECKING:
    from collections.abc import Sequence

BAD_INPUT = 2
_TARGETS = ("goles_local", "goles_visitante")
_NO_CHAMPION = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
# Beyond it the table of probabilities would fill the memory.
_MOST_GOALS = 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    options = _parse(arguments)
    try:
        names = _names(options.model, options.targets)
        match = _read_match(options.features)
        check_server(os.environ)
        tracking.patience(os.environ)
        tracking.configure_mlflow_client()
        found = _predict(names, match)
    except BadInputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    if options.json:
        print(json.dumps(found))
    else:
        _show(found)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: predict.py poisson rating_local=1700 rating_visitante=1450",
    )
    parser.add_argument("model", metavar="KIND", help="such as poisson")
    parser.add_argument(
        "features", nargs="+", metavar="FEATURE=NUMBER", help="what the models were trained with"
    )
    parser.add_argument(
        "--targets",
        nargs=2,
        default=_TARGETS,
        metavar=("HOST", "GUEST"),
        help="the columns that were predicted (goles_local goles_visitante)",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser.parse_args(arguments)


def _names(model: str, targets: Sequence[str]) -> list[str]:
    """Return the names of the registered models, the host's first."""
    kind = named(model)
    if kind is None:
        raise BadInputError(
            f"KIND: {shown(model)} is not a kind of model. Write one of {', '.join(KINDS)}"
        )
    return [registered(kind, target) for target in targets]


def _read_match(features: list[str]) -> dict[str, float]:
    match: dict[str, float] = {}
    for feature in features:
        name, equals, text = (part.strip() for part in feature.partition("="))
        if not name or not equals:
            raise BadInputError(
                f"{shown(feature)} is not a feature. Write a name and a number, such as "
                "rating_local=1700"
            )
        if name in match:
            raise BadInputError(f"duplicate feature {shown(name)}. Remove one")
        try:
            match[name] = numbers.read(text)
        except ValueError as error:
            raise BadInputError(f"{one_line(name)} is {shown(text)}: {error}") from None
    return match


def _check_names(name: str, wanted: list[str], given: dict[str, float]) -> None:
    """See that the match has what the model was trained with, and nothing else."""
    unknown = [feature for feature in given if feature not in wanted]
    missing = [feature for feature in wanted if feature not in given]
    if unknown:
        near = difflib.get_close_matches(unknown[0], missing or wanted, 1) or wanted
        raise BadInputError(
            f"{shown(unknown[0])} is not a feature of {name}: did you mean {', '.join(near)}?"
        )
    if missing:
        raise BadInputError(f"{name} also requires {', '.join(missing)}. Add NAME=NUMBER for each")


def _predict(names: list[str], match: dict[str, float]) -> dict[str, Any]:
    """Ask both champions; return what they say, and what follows from it."""
    import mlflow.sklearn  # noqa: PLC0415 -- takes seconds, which no typing error should
    import numpy as np  # noqa: PLC0415 -- see above
    import pandas as pd  # noqa: PLC0415 -- see above
    from football.evaluation import outcomes  # noqa: PLC0415 -- see above
    from mlflow import MlflowClient, MlflowException  # noqa: PLC0415 -- see above

    client = MlflowClient()
    goals, versions = [], {}
    for name in names:
        try:
            version = tracking.with_retries(
                partial(client.get_model_version_by_alias, name, CHAMPION)
            )
            # What is loaded was pickled: predict with models of people you trust alone.
            model = mlflow.sklearn.load_model(f"models:/{name}@{CHAMPION}")
        except MlflowException as error:
            if error.error_code in _NO_CHAMPION:
                raise BadInputError(
                    f"{name} has no champion ({error.error_code}). Train one with "
                    "run_experiments.py"
                ) from None
            raise BadInputError(f"{name} cannot be loaded: {tracking.reason(error)}") from None
        except (OSError, ImportError, UnpicklingError) as error:
            raise BadInputError(f"{name} cannot be loaded: {tracking.reason(error)}") from None
        wanted = [str(feature) for feature in model.feature_names_in_]
        _check_names(name, wanted, match)
        with np.errstate(over="ignore"):
            predicted = float(model.predict(pd.DataFrame([match])[wanted])[0])
        if not math.isfinite(predicted):
            raise BadInputError(
                f"{name} predicts {predicted}. Give values like those that it was trained with"
            )
        # Less than no goals is nothing that a linear model knows to avoid.
        goals.append(max(0.0, predicted))
        versions[name] = str(version.version)
    likely = outcomes(np.clip(np.array([goals]), 1e-9, _MOST_GOALS))[0]
    return {
        "models": versions,
        "goals": dict(zip(SIDES, goals, strict=True)),
        "probabilities": dict(zip((SIDES[0], "empate", SIDES[1]), map(float, likely), strict=True)),
    }


def _show(found: dict[str, Any]) -> None:
    for name, version in found["models"].items():
        print(f"{name}: version {version}")
    print("\n" + "".join(f"{name:>11}" for name in ("", SIDES[0], "empate", SIDES[1])))
    goals = found["goals"]
    print(f"{'goals':>11}{goals[SIDES[0]]:>11.2f}{'':>11}{goals[SIDES[1]]:>11.2f}")
    print(f"{'wins':>11}" + "".join(f"{value:>11.1%}" for value in found["probabilities"].values()))


if __name__ == "__main__":
    sys.exit(main())
