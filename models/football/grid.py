"""Many configs from a few lines: every combination of what a grid lists.

A grid is YAML:

    experiment_name: futbol_{model_type}
    dataset: {file_path: partidos.csv, features: [rating_local], targets: [goles_local, …]}
    training: {test_size: 0.2, random_state: 42}
    tags: {proyecto: futbol}
    models:
      random_forest:
        - {n_estimators: [100, 200], max_depth: [4, null], min_samples_leaf: 5}

Each entry of a kind stands for all combinations of its lists. A run is named after its kind and
what differs within the kind.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from football import config as configs
from football import strictyaml, textfile
from football.errors import BadInputError, one_line, shown, why
from football.kinds import KINDS, named

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LONGEST_NAME = 120
_MOST_CONFIGS = 10_000


class Grid(BaseModel):
    """What a grid's file holds; what its configs hold is checked there."""

    model_config = ConfigDict(extra="forbid")

    experiment_name: str = "futbol_{model_type}"
    dataset: dict[str, Any]
    training: dict[str, Any]
    tags: dict[str, Any] = Field(default_factory=dict)
    models: dict[str, list[dict[str, Any]]] = Field(min_length=1)


def load(path: Path) -> dict[str, dict[str, Any]]:
    """Read a grid.

    Returns
    -------
    dict[str, dict]
        The content of each config, by run name, in the order of the grid.

    Raises
    ------
    BadInputError
        If the file is not a grid, or one of its configs would not be valid.
    """
    _, text = textfile.read(path)
    try:
        grid = Grid.model_validate(strictyaml.load(text, str(path)))
    except ValidationError as error:
        lines = [
            f"{path}: {shown('.'.join(map(str, one['loc'])))[1:-1] or 'the file'}: {one['msg']}. "
            "models/README.md shows a grid"
            for one in error.errors()
        ]
        raise BadInputError("\n".join(dict.fromkeys(lines))) from None
    found: dict[str, dict[str, Any]] = {}
    for name, entries in grid.models.items():
        kind = named(name)
        if kind is None:
            raise BadInputError(
                f"{path}: models.{one_line(name)} is not a kind of model. Write one of "
                f"{', '.join(KINDS)}"
            )
        count = sum(math.prod(map(_choices, entry.values())) for entry in entries)
        if len(found) + count > _MOST_CONFIGS:
            raise BadInputError(
                f"{path}: models.{one_line(name)} makes {count} configs: a grid may have at most "
                f"{_MOST_CONFIGS}. Shorten its lists"
            )
        for content in _expand(grid, kind, entries):
            if content["run_name"] in found:
                raise BadInputError(
                    f"{path}: models.{one_line(name)} lists {shown(content['parameters'])} twice. "
                    "Remove one"
                )
            configs.check(content, f"{path}, {content['run_name']}")
            found[content["run_name"]] = content
    return found


def write(found: dict[str, dict[str, Any]], directory: Path) -> list[Path]:
    """Write each config as a file of its run's name.

    Raises
    ------
    BadInputError
        If the directory cannot be written to.
    """
    paths = [directory / f"{name}.json" for name in found]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, content in zip(paths, found.values(), strict=True):
            text = json.dumps(content, indent=2, ensure_ascii=False)
            path.write_text(f"{text}\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BadInputError(
            f"--output: {directory} cannot be written to: {why(error)}. Name another directory"
        ) from None
    return paths


def _expand(grid: Grid, kind: str, entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the configs of a kind."""
    combined = [parameters for entry in entries for parameters in _combine(entry)]
    names = list(dict.fromkeys(name for parameters in combined for name in parameters))
    differing = [name for name in names if len({repr(one.get(name, "")) for one in combined}) > 1]
    for parameters in combined:
        parts = [
            f"{_word(name)}={_word(parameters[name])}" for name in differing if name in parameters
        ]
        yield {
            "model_type": kind,
            "run_name": "_".join([kind, *parts])[:_LONGEST_NAME],
            "experiment_name": grid.experiment_name.replace("{model_type}", kind),
            "parameters": parameters,
            "dataset": grid.dataset,
            "training": grid.training,
            "tags": grid.tags,
        }


def _combine(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each combination of what an entry lists."""
    lists = [value if isinstance(value, list) else [value] for value in entry.values()]
    for values in itertools.product(*lists):
        yield dict(zip(entry, values, strict=True))


def _choices(value: Any) -> int:
    return len(value) if isinstance(value, list) else 1


def _word(value: Any) -> str:
    """Write a value so that a file's name can hold it."""
    return re.sub(r"[^\w.+-]", "", str(value).lower())
