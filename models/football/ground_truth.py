"""The distribution from which a simulated league draws its goals, in NAME.ground_truth.json.

It gives the mean of each side's goals in each match, and with them the smallest error that a model
can reach. The file holds the digest of its table, so an edited table has no ground truth.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from football.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """The means of the goals, each of a Poisson distribution.

    They are `host_goals · exp(d / rating_scale)` and `guest_goals · exp(-d / rating_scale)`, where
    `d` is the rating of the host minus that of the guest.
    """

    host_goals: float
    guest_goals: float
    rating_scale: float

    def means(self, host_rating: float, guest_rating: float) -> tuple[float, float]:
        """Return the means of the host's and the guest's goals."""
        advantage = math.exp((host_rating - guest_rating) / self.rating_scale)
        return self.host_goals * advantage, self.guest_goals / advantage


RATINGS = ("rating_local", "rating_visitante")
TARGETS = ("goles_local", "goles_visitante")
_SUFFIX = ".ground_truth.json"


def path_of(table: Path) -> Path:
    """Return the path of a table's ground truth."""
    return table.with_suffix(_SUFFIX)


def write(truth: GroundTruth, table: Path) -> None:
    """Write the ground truth of a table beside it."""
    content = {"sha256": hashlib.sha256(table.read_bytes()).hexdigest(), **asdict(truth)}
    path_of(table).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read(table: Path, sha256: str) -> GroundTruth | None:
    """Return the ground truth of the table with this digest; None if it has no valid one.

    Raises
    ------
    BadInputError
        If the ground truth is in a file with another suffix, as earlier versions named it.
    """
    path = path_of(table)
    if truth := _read(path, sha256):
        return truth
    for other in table.parent.iterdir():
        has_name_of_table = other.name.startswith(f"{table.stem}.") and other.suffix == ".json"
        if has_name_of_table and other != path and _read(other, sha256):
            raise BadInputError(
                f"{other} is not read: the ground truth of a table is in {path.name}. Rename it"
            )
    return None


def _read(path: Path, sha256: str) -> GroundTruth | None:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("sha256") != sha256:
            return None
        truth = GroundTruth(**{name: float(value) for name, value in content.items()})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return truth if all(0 < value < math.inf for value in asdict(truth).values()) else None
