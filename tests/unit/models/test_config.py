"""Configs are taken or refused before anything else happens."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from football import config as configs
from football.errors import BadInputError
from football.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = sorted((Path(__file__).resolve().parents[3] / "models/configs").glob("*.json"))


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_committed_configs_are_valid(path: Path) -> None:
    assert configs.load(path).model_type in KINDS


def test_grid_kind_has_a_committed_config() -> None:
    assert {configs.load(path).model_type for path in OURS} == {
        *("gradient_boosting", "linear_regression", "poisson", "random_forest")
    }


@pytest.mark.parametrize(
    "name", ["RandomForest", "RandomForestRegressor", "random forest", "RANDOM_FOREST"]
)
def test_class_name_of_the_estimator_names_its_kind(
    content: dict[str, Any], write: Callable[[object], Path], name: str
) -> None:
    assert configs.load(write(content | {"model_type": name})).model_type == "random_forest"


def test_parameters_and_tags_may_be_left_out(
    content: dict[str, Any], write: Callable[[object], Path]
) -> None:
    del content["parameters"], content["tags"]

    assert configs.load(write(content)).parameters == {}


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        (["model_type"], "svm", 'model_type is "svm"'),
        (["model_type"], None, "model_type is null"),
        (["run_name"], "", 'run_name is ""'),
        (["experiment_name"], 3, "experiment_name is 3"),
        (["parameters"], [], "parameters is []"),
        (["parameters", "depth"], {}, "parameters (at depth) is {}"),
        (["dataset"], "partidos.csv", 'dataset is "partidos.csv"'),
        (["dataset", "features"], [], "dataset.features is []"),
        (["dataset", "features", 0], 1, "dataset.features (at 0) is 1"),
        (["dataset", "features"], ["a", "a"], 'duplicate column "a"'),
        (["dataset", "targets"], ["goles_local"], "dataset.targets is"),
        (["dataset", "features", 0], "goles_local", "which is one of the targets"),
        (["dataset", "columns"], [], "did you mean"),
        (["training", "test_size"], "0.2", 'training.test_size is "0.2"'),
        (["training", "test_size"], 1, "training.test_size is 1"),
        (["training", "test_size"], float("nan"), "NaN is not valid JSON"),
        (["training", "random_state"], -1, "training.random_state is -1"),
        (["training", "random_state"], True, "training.random_state is true"),
        (["tags", "equipo"], [], "tags (at equipo) is []"),
        (["run_nme"], "a", "did you mean run_name?"),
    ],
)
def test_field_invalid_is_refused_with_its_file(
    content: dict[str, Any],
    write: Callable[[object], Path],
    place: list[Any],
    value: object,
    complaint: str,
) -> None:
    changed: Any = copy.deepcopy(content)
    inner = changed
    for part in place[:-1]:
        inner = inner[part]
    inner[place[-1]] = value
    path = write(changed)

    with pytest.raises(BadInputError) as caught:
        configs.load(path)

    assert complaint in str(caught.value)
    assert all(re.match(rf"{path}(: |, line \d+)", line) for line in str(caught.value).splitlines())


@pytest.mark.parametrize(
    "place", ["model_type", "run_name", "dataset", "training", "dataset.targets"]
)
def test_missing_field_is_named_with_what_it_must_be(
    content: dict[str, Any], write: Callable[[object], Path], place: str
) -> None:
    inner = content
    *outer, last = place.split(".")
    for part in outer:
        inner = inner[part]
    del inner[last]

    with pytest.raises(BadInputError, match=f"{place} is missing: it must be "):
        configs.load(write(content))


@pytest.mark.parametrize("content", [[], 1, "text", None])
def test_config_that_is_not_an_object_is_refused(
    write: Callable[[object], Path], content: object
) -> None:
    with pytest.raises(BadInputError, match="one JSON object"):
        configs.load(write(content))


def test_config_with_a_syntax_error_is_refused_with_its_position(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{\n "model_type": }')

    with pytest.raises(BadInputError, match=r"line 2, column 16"):
        configs.load(tmp_path / "config.json")


def test_config_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="cannot be read: No such file"):
        configs.load(tmp_path / "none.json")


def test_digest_depends_on_the_content_and_not_on_the_layout(
    content: dict[str, Any], tmp_path: Path
) -> None:
    texts = [
        json.dumps(content),
        json.dumps(content, indent=4, sort_keys=True),
        json.dumps(content | {"run_name": "another"}),
    ]
    digests = []
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.json"
        path.write_text(text)
        digests.append(configs.load(path).sha256)

    assert digests[0] == digests[1] != digests[2]
