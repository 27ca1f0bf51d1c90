"""A simulated league. Its goals follow a known distribution, so the smallest error is known too.

Everyone plays everyone else at home and away in each season. With `d` the host's rating minus the
guest's, goals are drawn from Poisson distributions with these means, independently of each other:

    host   1.45 · exp( d / 350)
    guest  1.15 · exp(-d / 350)

Ratings are drawn around 1500 with a deviation of 120 at the start; between two seasons each keeps
80 % of its distance from 1500 and gets a step with a deviation of 60. They are rounded before the
goals are drawn, so that the table holds all that their means depend on.
"""

from __future__ import annotations

import csv
import math
import random
from dataclasses import astuple, dataclass, fields
from statistics import NormalDist
from typing import TYPE_CHECKING

from football import ground_truth
from football.ground_truth import GroundTruth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GROUND_TRUTH = GroundTruth(host_goals=1.45, guest_goals=1.15, rating_scale=350.0)
MEAN_RATING = 1500.0
FIRST_SEASON = 2021


@dataclass(frozen=True, slots=True)
class Match:
    """One line of the table; the names are the columns."""

    temporada: int
    jornada: int
    equipo_local: str
    equipo_visitante: str
    goles_local: int
    goles_visitante: int
    rating_local: int
    rating_visitante: int


def play(seasons: int = 5, teams: int = 20, seed: int = 2026) -> Iterator[Match]:
    """Play the seasons one after another.

    Parameters
    ----------
    seasons
        How many.
    teams
        How many teams; an even number.
    seed
        The same seed gives the same matches, with any version of Python.
    """
    if teams % 2 or teams < 2:  # noqa: PLR2004 -- a match takes two
        raise ValueError(f"{teams} teams cannot pair up: take an even number")
    source = random.Random(seed)  # noqa: S311 -- a simulation, no secret
    names = [f"Equipo {number:02}" for number in range(1, teams + 1)]
    strength = [MEAN_RATING + _normal(source, 120) for _ in names]
    for season in range(FIRST_SEASON, FIRST_SEASON + seasons):
        ratings = [round(rating) for rating in strength]
        for number, pairs in enumerate(_rounds(teams), start=1):
            for host, guest in pairs:
                means = GROUND_TRUTH.means(ratings[host], ratings[guest])
                yield Match(
                    season,
                    number,
                    names[host],
                    names[guest],
                    _poisson(source, means[0]),
                    _poisson(source, means[1]),
                    ratings[host],
                    ratings[guest],
                )
        strength = [
            MEAN_RATING + 0.8 * (rating - MEAN_RATING) + _normal(source, 60) for rating in strength
        ]


def write(matches: Iterator[Match], path: Path) -> int:
    """Write the table as CSV, its ground truth beside it, and return its number of matches."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([field.name for field in fields(Match)])
        count = 0
        for match in matches:
            table.writerow(astuple(match))
            count += 1
    ground_truth.write(GROUND_TRUTH, path)
    return count


def _rounds(teams: int) -> Iterator[list[tuple[int, int]]]:
    """Pair the teams by the circle method: the first stays, the others turn; then all reversed."""
    first_half = []
    for turn in range(teams - 1):
        circle = [0, *((place + turn) % (teams - 1) + 1 for place in range(teams - 1))]
        pairs = [(circle[i], circle[-1 - i]) for i in range(teams // 2)]
        # The one who stays would otherwise be host in the whole half.
        first_half.append([pairs[0][::-1] if turn % 2 else pairs[0], *pairs[1:]])
    yield from first_half
    yield from ([(guest, host) for host, guest in pairs] for pairs in first_half)


def _normal(source: random.Random, deviation: float) -> float:
    return deviation * NormalDist().inv_cdf(source.uniform(1e-9, 1 - 1e-9))


def _poisson(source: random.Random, mean: float) -> int:
    """Draw by inversion: only the method random() is the same in all versions of Python."""
    left = source.random()
    count, probability = 0, math.exp(-mean)
    while left > probability:
        left -= probability
        count += 1
        probability *= mean / count
    return count
