"""The law that a simulated league follows, written beside its table as NAME.law.json.

Where it is known, so is the mean of each side's goals in each match, and with them the best that
any model can reach. The digest ties the law to its table: an edited table has none.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Law:
    """The means of goals: `host_goals · exp(d / rating_scale)`, `guest_goals · exp(-d / …)`.

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


def beside(table: Path) -> Path:
    """Return where the law of a table stands."""
    return table.with_suffix(".law.json")


def write(law: Law, table: Path) -> None:
    """Write the law beside the table that it made."""
    content = {"sha256": hashlib.sha256(table.read_bytes()).hexdigest(), **asdict(law)}
    beside(table).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read(table: Path, sha256: str) -> Law | None:
    """Return the law of the table with this digest, or None if there is none to be trusted."""
    try:
        content = json.loads(beside(table).read_text(encoding="utf-8"))
        if content.pop("sha256") != sha256:
            return None
        law = Law(**{name: float(value) for name, value in content.items()})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return law if all(0 < value < math.inf for value in asdict(law).values()) else None
