"""A few lines of YAML become configs; mistakes in them are told."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from football import config as configs
from football import grid
from football.errors import BadInputError

CONFIGS = Path(__file__).resolve().parents[3] / "models/configs"
COMMON = """
dataset: {file_path: a.csv, features: [x], targets: [y, z]}
training: {test_size: 0.2, random_state: 1}
"""


def test_committed_configs_are_those_of_the_grid(tmp_path: Path) -> None:
    written = grid.write(grid.load(CONFIGS / "grid.yml"), tmp_path)

    committed = {path.name: path.read_text() for path in (CONFIGS / "grid").iterdir()}
    assert {path.name: path.read_text() for path in written} == committed
    kinds = Counter(configs.load(path).model_type for path in written)
    assert kinds == {
        "random_forest": 10,
        "gradient_boosting": 12,
        "linear_regression": 3,
        "poisson": 4,
    }


def test_entry_stands_for_all_combinations_of_its_lists(tmp_path: Path) -> None:
    path = tmp_path / "grid.yml"
    path.write_text(
        COMMON + "models: {Ridge: [{alpha: [1, 2], solver: [svd, lsqr], tol: 0.1}, {alpha: 3}]}\n"
    )

    found = grid.load(path)

    assert [content["parameters"] for content in found.values()] == [
        *({"alpha": a, "solver": s, "tol": 0.1} for a in (1, 2) for s in ("svd", "lsqr")),
        {"alpha": 3},
    ]
    assert next(iter(found)) == "ridge_alpha=1_solver=svd_tol=0.1"
    assert {content["experiment_name"] for content in found.values()} == {"futbol_ridge"}
    assert json.loads(grid.write(found, tmp_path / "out")[0].read_text())["tags"] == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("models: [", "is no YAML"),
        ("[]", "the file"),
        ("models: {ridge: [{}]}", "dataset: Field required"),
        (COMMON + "models: {svm: [{}]}", "models.svm is no kind"),
        (COMMON + "models: {ridge: [{alpha: [1, 1]}]}", "twice"),
        (COMMON + "models: {ridge: [{}]}\ntag: {}", "tag: Extra"),
        (COMMON.replace("0.2", "2") + "models: {ridge: [{}]}", "training.test_size is 2"),
    ],
)
def test_broken_grid_is_told(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "grid.yml"
    path.write_text(text)

    with pytest.raises(BadInputError, match=complaint) as caught:
        grid.load(path)

    assert str(caught.value).startswith(str(path))


def test_missing_grid_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="cannot be read"):
        grid.load(tmp_path / "none.yml")
