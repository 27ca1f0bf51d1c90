"""The league follows the distribution that it states."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path

import generate_league
import pytest
from football import ground_truth, league
from football.errors import BadInputError

COMMITTED = Path(__file__).resolve().parents[3] / "models/data/partidos.csv"


def test_committed_table_is_what_the_generator_writes(tmp_path: Path) -> None:
    count = league.write(league.play(), tmp_path / "partidos.csv")

    assert count == 1900
    assert (tmp_path / "partidos.csv").read_bytes() == COMMITTED.read_bytes()


def test_another_seed_gives_another_league() -> None:
    assert list(league.play(1, 4, seed=1)) != list(league.play(1, 4, seed=2))


@pytest.mark.parametrize("teams", [2, 4, 20])
def test_play_pairs_all_teams_at_home_and_away_once_a_round(teams: int) -> None:
    matches = list(league.play(seasons=1, teams=teams))
    pairs = Counter((match.equipo_local, match.equipo_visitante) for match in matches)
    rounds = Counter(
        (match.jornada, team)
        for match in matches
        for team in (match.equipo_local, match.equipo_visitante)
    )

    assert len(pairs) == teams * (teams - 1)
    assert set(pairs.values()) == set(rounds.values()) == {1}


def test_goals_have_the_stated_means_and_deviate_as_poisson_says() -> None:
    matches = list(league.play(seasons=30))
    means = [league.GROUND_TRUTH.means(m.rating_local, m.rating_visitante) for m in matches]
    for side, goals in enumerate(
        ([m.goles_local for m in matches], [m.goles_visitante for m in matches])
    ):
        expected = sum(mean[side] for mean in means)
        assert abs(sum(goals) - expected) < 4 * math.sqrt(expected)
        squares = sum(
            (g - mean[side]) ** 2 / mean[side] for g, mean in zip(goals, means, strict=True)
        )
        assert squares / len(goals) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("teams", [0, 1, 3])
def test_odd_number_of_teams_is_refused(teams: int) -> None:
    with pytest.raises(ValueError, match="even number"):
        next(league.play(teams=teams))


@pytest.mark.parametrize("output", ["none/league.csv", ".", "a" * 300])
def test_output_that_cannot_be_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    code = generate_league.main(["--teams", "2", "--output", str(tmp_path / output)])

    assert code == generate_league.BAD_INPUT
    assert re.fullmatch(r"error: --output: .*\. .*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    "arguments",
    [["--teams", "3"], ["--teams", "0"], ["--seasons", "0"], ["--seasons", "-1"], ["--seed", "x"]],
)
def test_generate_league_with_an_invalid_number_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        generate_league.main(arguments)

    assert caught.value.code == generate_league.BAD_INPUT
    assert arguments[0] in capsys.readouterr().err


def test_ground_truth_with_impossible_value_is_ignored(tmp_path: Path) -> None:
    table = tmp_path / "league.csv"
    league.write(league.play(1, 2), table)
    path = ground_truth.path_of(table)
    content = json.loads(path.read_text())
    for value in (0, -1, "inf", "nan"):
        path.write_text(json.dumps(content | {"rating_scale": value}))
        assert ground_truth.read(table, content["sha256"]) is None


def test_ground_truth_under_another_name_is_refused_with_the_new_one(tmp_path: Path) -> None:
    table = tmp_path / "league.csv"
    league.write(league.play(1, 2), table)
    path = ground_truth.path_of(table)
    sha256 = json.loads(path.read_text())["sha256"]
    path.rename(tmp_path / "league.previous.json")

    with pytest.raises(
        BadInputError, match=r"league\.previous\.json is not read: .* Rename it$"
    ) as caught:
        ground_truth.read(table, sha256)
    assert "league.ground_truth.json" in str(caught.value)
    # That of another table is not meant.
    assert ground_truth.read(tmp_path / "other.csv", sha256) is None
    assert ground_truth.read(table, "0" * 64) is None
