"""The JSON file that describes an experiment."""

from __future__ import annotations

import difflib
import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    field_validator,
)

from football import limits, strictjson, textfile
from football.errors import BadInputError, invisible, shown
from football.kinds import KINDS, named
from football.naming import normalized, registered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _visible(text: str) -> str:
    """Refuse text of blanks only."""
    if not text.strip():
        raise ValueError("it is blank")
    return text


Text = Annotated[str, AfterValidator(_visible)]
Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Scalar = str | Whole | FiniteFloat | bool | None


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
        names = [normalized(column) for column in columns]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"duplicate column {shown(name)}")
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
    run_name: Text = Field(description="a name for the run")
    experiment_name: Text = Field(description="a name to collect runs by")
    parameters: dict[Text, Scalar | list[Scalar]] = Field(
        default_factory=dict, description="an object with parameters of the scikit-learn estimator"
    )
    dataset: Dataset = Field(description="an object with file_path, features and targets")
    training: Training = Field(description="an object with test_size and random_state")
    tags: dict[Text, str | Whole | FiniteFloat | bool] = Field(
        default_factory=dict, description="an object with texts or numbers by their names"
    )

    @field_validator("model_type")
    @classmethod
    def _known_kind(cls, model_type: str) -> str:
        """Take the estimator's class name for its kind as well: RandomForestRegressor."""
        if (kind := named(model_type)) is not None:
            return kind
        raise ValueError("there is no such kind of model")

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
        If the file cannot be read or is not a config; names the file, each field, and the cure.
    """
    _, text = textfile.read(path)
    return check(strictjson.loads(text, str(path)), str(path))


def check(content: Any, name: str) -> Config:
    """Check the content of a config.

    Raises
    ------
    BadInputError
        If it is not a config; names the file, each field, and the cure.
    """
    complaints = list(_unprintable(content))
    if not complaints:
        try:
            config = Config.model_validate(content)
        except ValidationError as error:
            complaints = [_explain(one) for one in error.errors()]
        else:
            complaints = _conflicts(config) or limits.exceeded(config)
    if complaints:
        raise BadInputError("\n".join(f"{name}: {line}" for line in dict.fromkeys(complaints)))
    return config


def _unprintable(value: Any, field: str = "") -> Iterator[str]:
    """Yield what is wrong with texts that hold characters of no name; tags may have lines."""
    if isinstance(value, dict):
        for name, inner in value.items():
            where = f"{field}.{name}" if field else str(name)
            if found := invisible(str(name)):
                yield f"the name {shown(where)} holds {found}. Remove it"
            else:
                yield from _unprintable(inner, where)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _unprintable(inner, f"{field} (at {number})")
    elif isinstance(value, str):
        allowed = "\t\n\r" if field.startswith("tags.") else ""
        if found := invisible(value, allowed):
            yield f"{field} is {shown(value)}, which holds {found}. Remove it"


def _conflicts(config: Config) -> list[str]:
    """Return what does not go together in a config."""
    features, targets = config.dataset.features, config.dataset.targets
    both = {normalized(name) for name in features} & {normalized(name) for name in targets}
    if both:
        return [
            f"dataset.features holds {min(both)!r}, which is one of the targets. Remove it there"
        ]
    models = {registered(config.model_type, target) for target in targets}
    if len(models) < len(targets):
        return [f"dataset.targets are both registered as {shown(min(models))}. Rename a column"]
    run_name = config.tags.get("mlflow.runName", config.run_name)
    if run_name != config.run_name:
        return [f"tags.mlflow.runName is {shown(run_name)}, but run_name differs. Remove the tag"]
    return []


def _explain(error: Any) -> str:
    """Say what is wrong with a field and what it must be."""
    location: tuple[str | int, ...] = error["loc"]
    if not location:
        return "the file must hold one JSON object. models/README.md shows one"
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
        return f"{shown(name)} is not a field of a config: did you mean {' or '.join(near)}?"
    if error["type"] == "missing":
        return f"{name} is missing: it must be {field.description}"
    value = shown(error["input"])
    # What follows the item are the alternatives of its type, which no reader asked for.
    item = location[len(names) : len(names) + 1]
    where = f" (at {shown(item[0]) if item[0] == '' else item[0]})" if item else ""
    reason = f": {error['ctx']['error']}" if error["type"] == "value_error" else ""
    return f"{name}{where} is {value}{reason}. It must be {field.description}"
