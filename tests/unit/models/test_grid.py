"""A few lines of YAML become configs; mistakes in them are reported."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import generate_configs
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


def test_grid_entry_gives_all_combinations_of_its_lists(tmp_path: Path) -> None:
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
        ("models: [", "line 1, column 10: not valid YAML"),
        ("[]", "the file"),
        ("models: {ridge: [{}]}", "dataset: Field required"),
        (COMMON + "models: {svm: [{}]}", "models.svm is not a kind"),
        (COMMON + "models: {ridge: [{alpha: [1, 1]}]}", "twice"),
        (COMMON + "models: {ridge: [{}]}\ntag: {}", "tag: Extra"),
        (COMMON + "models: {ridge: [{alpha: 1}]}\nmodels: {ridge: [{}]}", 'duplicate key "models"'),
        (COMMON + "models: {ridge: [{alpha: 1, alpha: 2}]}", 'line 4, .*duplicate key "alpha"'),
        (COMMON + "models: {ridge: [{alpha: 1_000}]}", '"1_000" is not a plain decimal number'),
        (COMMON + "models: {ridge: [{alpha: 010}]}", '"010" is not a plain decimal number'),
        (COMMON + "models: {ridge: [{alpha: 0x1F}]}", '"0x1F" is not a plain decimal number'),
        (COMMON + "models: {ridge: [{alpha: 12:30}]}", '"12:30" is not a plain decimal number'),
        (COMMON + "models: {ridge: [{alpha: .inf}]}", '".inf" is not a finite number'),
        (COMMON + "models: {ridge: [{alpha: .nan}]}", '".nan" is not a finite number'),
        (COMMON + "models: {ridge: [{alpha: 1e400}]}", '"1e400" is not a finite number'),
        (COMMON + f"models: {{ridge: [{{alpha: {10**400}}}]}}", "parameters"),
        (COMMON + "models: {ridge: [{alpha: 2026-01-01}]}", "parameters"),
        (COMMON + 'models: {ridge: [{alpha: "a\\0b"}]}', r"U\+0000"),
        (COMMON + "models: {ridge: [{alpha: \0}]}", "line 4: a NUL character"),
        (COMMON + "models: {ridge: [" + "[" * 2000 + "]" * 2000 + "]}", "nested too deeply|models"),
        (
            COMMON
            + "models: {ridge: [{"
            + ", ".join(f"a{n}: {list(range(9))}" for n in range(9))
            + "}]}",
            "makes 387420489 configs",
        ),
        ("", "the file: "),
        ("models: {ridge: [{}]}\n\t", "line 2"),
        (COMMON.replace("0.2", "2") + "models: {ridge: [{}]}", "training.test_size is 2"),
    ],
)
def test_grid_broken_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "grid.yml"
    path.write_text(text)

    with pytest.raises(BadInputError, match=complaint) as caught:
        grid.load(path)

    assert str(caught.value).startswith(str(path))
    assert all(line.startswith(str(path)) for line in str(caught.value).splitlines())


def test_grid_numbers_are_read_as_json_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "grid.yml"
    text = COMMON + "models: {ridge: [{alpha: [1e-3, 2E+2, -1.5, 7, 0, 0.0]}]}\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())

    found = [content["parameters"]["alpha"] for content in grid.load(path).values()]

    assert found == [1e-3, 200.0, -1.5, 7, 0, 0.0]


def test_grid_parameter_names_cannot_leave_the_directory(tmp_path: Path) -> None:
    path = tmp_path / "grid.yml"
    path.write_text(COMMON + "models: {ridge: [{../../alpha: [1, 2]}]}\n")

    written = grid.write(grid.load(path), tmp_path / "out")

    assert {file.parent for file in written} == {tmp_path / "out"}


@pytest.mark.parametrize("output", ["file", "file/below", "a" * 300])
def test_output_that_cannot_be_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    (tmp_path / "file").touch()
    target = str(tmp_path / output)

    assert generate_configs.main(["--output", target]) == generate_configs.BAD_INPUT
    assert re.fullmatch(r"error: --output: .*\. .*\n", capsys.readouterr().err)


def test_grid_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="cannot be read"):
        grid.load(tmp_path / "none.yml")
