"""Predict a match with the champions of the registry."""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from football import tracking
from football.errors import BadInputError
from football.kinds import KINDS, named
from football.naming import CHAMPION, SIDES, registered

if TYPE_CHECKING:
    from collections.abc import Sequence

BAD_INPUT = 2
_TARGETS = ("goles_local", "goles_visitante")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    options = _parse(arguments)
    try:
        names = _names(options.model, options.targets)
        match = _read_match(options.features)
        tracking.check_server(os.environ)
        tracking.settle()
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
        raise BadInputError(f"{model} is no kind of a model: take one of {', '.join(KINDS)}")
    return [registered(kind, target) for target in targets]


def _read_match(features: list[str]) -> dict[str, float]:
    match = {}
    for feature in features:
        name, equals, text = feature.partition("=")
        try:
            match[name] = float(text)
        except ValueError:
            equals = ""
        if not equals:
            raise BadInputError(f"{feature!r}: give a name and a number, such as rating_local=1700")
    return match


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
            version = tracking.patiently(partial(client.get_model_version_by_alias, name, CHAMPION))
        except MlflowException as error:
            raise BadInputError(
                f"there is no champion of {name} ({error.error_code}): run_experiments.py makes one"
            ) from None
        # What is loaded was pickled: predict with models of people you trust alone.
        model = mlflow.sklearn.load_model(f"models:/{name}@{CHAMPION}")
        wanted = list(model.feature_names_in_)
        if set(wanted) != set(match):
            raise BadInputError(f"{name} needs {', '.join(wanted)}, and nothing else: give these")
        # Less than no goals is nothing that a linear model knows to avoid.
        goals.append(max(0.0, float(model.predict(pd.DataFrame([match])[wanted])[0])))
        versions[name] = str(version.version)
    likely = outcomes(np.clip(np.array([goals]), 1e-9, None))[0]
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
