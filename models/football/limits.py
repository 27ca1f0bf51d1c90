"""What MLflow takes as names and values; its server cuts, or answers with SQL, or waits in vain."""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from football.errors import one_line, shown
from football.naming import registered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from football.config import Config

# What is within all limits, so that MLflow, which takes seconds to import, need not be asked.
MOST_PLAIN = 200
_PLAIN = re.compile(rf"\w(?:[\w .-]{{0,{MOST_PLAIN - 2}}}\w)?")


def exceeded(config: Config) -> list[str]:
    """Return what MLflow would not take of a config, a line each with the cure."""
    if all(len(text) <= MOST_PLAIN for text in _texts(config)) and all(
        map(_PLAIN.fullmatch, config.tags)
    ):
        return []
    from mlflow import MlflowException  # noqa: PLC0415 -- takes seconds, which few configs cost
    from mlflow.store.model_registry.dbmodels.models import (  # noqa: PLC0415 -- see above
        SqlRegisteredModel,
    )
    from mlflow.store.tracking.dbmodels.models import (  # noqa: PLC0415 -- see above
        SqlExperiment,
        SqlRun,
    )
    from mlflow.utils import validation  # noqa: PLC0415 -- see above

    def width(table: type) -> int:
        """Return the width of a table's column `name`."""
        return int(table.__table__.c.name.type.length)  # type: ignore[attr-defined]

    lengths = [
        ("run_name", config.run_name, width(SqlRun)),
        (
            "experiment_name",
            config.experiment_name,
            min(width(SqlExperiment), validation.MAX_EXPERIMENT_NAME_LENGTH),
        ),
        ("dataset.file_path", config.dataset.file_path, validation.MAX_PARAM_VAL_LENGTH),
        (
            "dataset.file_path",
            PurePath(config.dataset.file_path).stem,
            validation.MAX_DATASET_NAME_SIZE,
        ),
        *(
            (f"dataset.targets: the model {shown(name, 40)}", name, width(SqlRegisteredModel))
            for name in _models(config)
        ),
        *(
            (f"parameters.{shown(name, 40)}", as_text(value), validation.MAX_PARAM_VAL_LENGTH)
            for name, value in config.parameters.items()
        ),
        *(
            (f"tags.{shown(name, 40)}", str(value), validation.MAX_TAG_VAL_LENGTH)
            for name, value in config.tags.items()
        ),
        *(("tags: the name", name, validation.MAX_ENTITY_KEY_LENGTH) for name in config.tags),
    ]
    found = [
        f"{field} has {len(text)} characters: MLflow keeps at most {most}. Shorten it"
        for field, text, most in lengths
        if len(text) > most
    ]
    for name in config.tags:
        try:
            validation._validate_tag_name(name)  # noqa: SLF001 -- the rule of MLflow's client and server
        except MlflowException as error:
            reason = error.message.partition("supplied: ")[2] or error.message
            found.append(f"tags: the name {shown(name)} is invalid: {one_line(reason)}")
    return found


def as_text(value: object) -> str:
    """Return the text of a parameter: other values than text as JSON writes them."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _models(config: Config) -> list[str]:
    return [registered(config.model_type, target) for target in config.dataset.targets]


def _texts(config: Config) -> Iterator[str]:
    """Yield every text that MLflow is given, but for the list of features."""
    yield from (config.run_name, config.experiment_name, config.dataset.file_path)
    yield from _models(config)
    yield from map(as_text, config.parameters.values())
    yield from map(str, config.tags.values())
    yield from config.tags
