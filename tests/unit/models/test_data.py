"""The table is found where one expects it, and a broken one is refused in words."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from football import config as configs
from football import data
from football.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEADER = "goles_local,goles_visitante,rating_local,rating_visitante\n"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    made = {name: tmp_path / name for name in ("working", "configs", "project")}
    for path in made.values():
        path.mkdir()
    monkeypatch.chdir(made["working"])
    return made


@pytest.fixture
def load(
    content: dict[str, Any], write: Callable[[object], Path], tmp_path: Path
) -> Callable[[str | bytes], data.Table]:
    def load(text: str | bytes) -> data.Table:
        config_path = write(content)
        path = tmp_path / "partidos.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return data.load(path, configs.load(config_path), config_path)

    return load


def test_locate_prefers_the_working_directory_then_the_config_then_the_project(
    places: dict[str, Path],
) -> None:
    config = places["configs"] / "config.json"
    for name in ("project", "configs", "working"):
        (places[name] / "partidos.csv").touch()
        found = data.locate("partidos.csv", config, places["project"], None)
        assert found == places[name] / "partidos.csv"


def test_missing_table_names_the_places(places: dict[str, Path]) -> None:
    with pytest.raises(BadInputError) as caught:
        data.locate("partidos.csv", places["configs"] / "c.json", places["project"], None)

    assert all(str(place) in str(caught.value) for place in places.values())


@pytest.mark.parametrize("kind", ["directory", "pipe", "dangling link"])
def test_locate_path_that_is_not_a_file_is_refused(places: dict[str, Path], kind: str) -> None:
    (places["project"] / "partidos.csv").touch()
    path = places["working"] / "partidos.csv"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("none")

    with pytest.raises(BadInputError, match=rf"{path} is not a file"):
        data.locate("partidos.csv", places["configs"] / "c.json", places["project"], None)


@pytest.mark.parametrize("file_path", ["/etc/hostname", "../working/partidos.csv"])
def test_path_outside_requires_data_dir(places: dict[str, Path], file_path: str) -> None:
    with pytest.raises(BadInputError, match="--data-dir"):
        data.locate(file_path, places["configs"] / "c.json", places["project"], None)


def test_data_dir_is_the_only_place_searched(places: dict[str, Path]) -> None:
    (places["working"] / "partidos.csv").touch()
    config, project = places["configs"] / "c.json", places["project"]
    mine = project / "partidos.csv"

    with pytest.raises(BadInputError, match="no such file"):
        data.locate("partidos.csv", config, project, project)
    mine.touch()
    assert data.locate("partidos.csv", config, project, project) == mine
    assert data.locate(str(mine), config, project, project) == mine
    assert data.locate("../project/partidos.csv", config, project, project).samefile(mine)


@pytest.mark.parametrize("file_path", ["/etc/hostname", "../../etc/hostname"])
def test_data_dir_refuses_paths_outside(places: dict[str, Path], file_path: str) -> None:
    with pytest.raises(BadInputError, match="outside"):
        data.locate(file_path, places["configs"] / "c.json", places["project"], places["working"])


def test_data_dir_that_is_not_a_directory_is_refused(places: dict[str, Path]) -> None:
    with pytest.raises(BadInputError, match="is not a directory"):
        data.locate(
            "a.csv", places["configs"] / "c.json", places["project"], places["working"] / "b"
        )


def test_columns_are_read_by_name(load: Callable[[str], data.Table]) -> None:
    table = load(
        "\ufeffjornada," + HEADER + "1,2,0,1500,1490.5\n1,1,1,1400,1600\n1,3,1,1500,1400\n"
    )

    assert table.features == {
        "rating_local": [1500, 1400, 1500],
        "rating_visitante": [1490.5, 1600, 1400],
    }
    assert table.goals == {"goles_local": [2, 1, 3], "goles_visitante": [0, 1, 1]}
    assert len(table) == 3


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        (
            "goles_local,goles_visitant,rating_local,rating_visitante\n",
            "not a column of .*, line 1: did you mean goles_visitant",
        ),
        (HEADER.replace("goles_visitante", "goles_local"), "line 1: duplicate column"),
        (HEADER + "1,,1500,1500\n", "line 2: goles_visitante is ''"),
        (HEADER + "1,1,1500,1500\n1,NaN,1500,1500\n", "line 3: goles_visitante is 'NaN'"),
        (HEADER + "1,1,inf,1500\n", "line 2: rating_local is 'inf'"),
        (HEADER + "1,1,1500\n", "line 2: 3 fields, separated by ',', but the header has 4"),
        (HEADER + "-1,1,1500,1500\n", "whole numbers"),
        (HEADER + "0.5,1,1500,1500\n", "whole numbers"),
        (HEADER + "Betis,1,1500,1500\n", "line 2: goles_local is 'Betis'"),
        (HEADER, "0 matches"),
        (HEADER + "1,1,1500,1500\n", "1 matches"),
        (HEADER + '"1,1,1500,1500\n', "line 2: not valid CSV: a quoted field does not end"),
        (HEADER.encode() + b"1,1,\xf1,2\n", "line 2: not valid UTF-8"),
    ],
)
def test_table_broken_is_refused_with_its_line(
    load: Callable[[str | bytes], data.Table], text: str | bytes, complaint: str
) -> None:
    with pytest.raises(BadInputError, match=complaint):
        load(text)
