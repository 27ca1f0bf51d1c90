"""The JSON file that describes an experiment."""

from __future__ import annotations

import difflib
import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from football.errors import BadInputError
from football.kinds import KINDS, named

if TYPE_CHECKING:
    from pathlib import Path

Text = Annotated[str, Field(min_length=1)]
Scalar = str | int | float | bool | None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Dataset(_Strict):
    """The table, and which of its columns are what."""

    file_path: Text = Field(description='the path of a CSV file, such as "partidos.csv"')
    features: list[Text] = Field(
        min_length=1, description='a list of columns, such as ["rating_local"]'
    )
    targets: list[Text] = Field(
        min_length=2,
        max_length=2,
        description='the two columns to predict, such as ["goles_local", "goles_visitante"]',
    )

    @field_validator("features", "targets")
    @classmethod
    def _each_once(cls, columns: list[str]) -> list[str]:
        if len(set(columns)) < len(columns):
            raise ValueError("a column stands there twice")
        return columns


class Training(_Strict):
    """How the table is split."""

    test_size: float = Field(
        gt=0, lt=1, description="the share of matches to test with, above 0 and below 1"
    )
    random_state: int = Field(
        ge=0, lt=2**32, description="a whole number from 0 that seeds whatever is random"
    )


class Config(_Strict):
    """One experiment."""

    model_type: str = Field(description=f"one of {', '.join(KINDS)}")
    run_name: str = Field(
        min_length=1, max_length=250, description="a name of 1 to 250 characters for the run"
    )
    experiment_name: str = Field(
        min_length=1, max_length=256, description="a name of 1 to 256 characters to collect runs by"
    )
    parameters: dict[Text, Scalar | list[Scalar]] = Field(
        default_factory=dict, description="an object with parameters of the scikit-learn estimator"
    )
    dataset: Dataset = Field(description="an object with file_path, features and targets")
    training: Training = Field(description="an object with test_size and random_state")
    tags: dict[Text, str | int | float | bool] = Field(
        default_factory=dict, description="an object with texts or numbers by their names"
    )

    @field_validator("model_type")
    @classmethod
    def _known_kind(cls, model_type: str) -> str:
        """Take the estimator's class name for its kind as well: RandomForestRegressor."""
        if (kind := named(model_type)) is not None:
            return kind
        raise ValueError("there is no such kind")

    @property
    def sha256(self) -> str:
        """The digest of what the experiment is, whatever the file's layout."""
        text = json.dumps(self.model_dump(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def load(path: Path) -> Config:
    """Read a config.

    Raises
    ------
    BadInputError
        If the file cannot be read or is no config; names the file, each field, and the cure.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise BadInputError(
            f"{path} is no file: give the path of a config, such as models/configs/poisson.json"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path} cannot be read: {error}") from None
    except json.JSONDecodeError as error:
        raise BadInputError(
            f"{path} is no JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        ) from None
    return check(content, str(path))


def check(content: Any, name: str) -> Config:
    """Take what stands in a config.

    Raises
    ------
    BadInputError
        If it is no config; names the file, each field, and the cure.
    """
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        found = dict.fromkeys(_explain(one) for one in error.errors())
        raise BadInputError("\n".join(f"{name}: {line}" for line in found)) from None
    both = set(config.dataset.features) & set(config.dataset.targets)
    if both:
        raise BadInputError(
            f"{name}: dataset.features holds {min(both)!r}, which is to be predicted: take it out"
        )
    return config


def _explain(error: Any) -> str:
    """Say what is wrong with a field and what it must be."""
    location: tuple[str | int, ...] = error["loc"]
    if not location:
        return "the file must hold one JSON object; models/README.md shows one"
    model: Any = Config
    fields: dict[str, Any] = {}
    field: Any = None
    names: list[str] = []
    for part in location:
        if model is None:
            break
        fields, names = model.model_fields, [*names, str(part)]
        field = fields.get(str(part))
        nested = getattr(field, "annotation", None)
        model = nested if isinstance(nested, type) and issubclass(nested, BaseModel) else None
    name = ".".join(names)
    if field is None:
        near = difflib.get_close_matches(names[-1], fields, 1) or sorted(fields)
        return f"{name} is no field of a config: did you mean {' or '.join(near)}?"
    if error["type"] == "missing":
        return f"{name} is missing: it must be {field.description}"
    value = json.dumps(error["input"], ensure_ascii=False, default=str)
    if error["type"] == "value_error":
        return f"{name} is {value}: {error['ctx']['error']}; it must be {field.description}"
    # What follows the item are the alternatives of its type, which no reader asked for.
    item = location[len(names) : len(names) + 1]
    where = f" (at {item[0]})" if item else ""
    return f"{name}{where} is {value}: it must be {field.description}"
