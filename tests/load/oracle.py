"""Compare the history of a client with what it has read, and with what is there in the end.

Each write goes to a *place*: a point of a metric, a parameter, a tag, a run, an alias, an artifact.
Only one thread writes to a place, one request after the other. If the outcome of a write is unknown
(no answer, or a status of 500 or more), the thread never writes to that place again. So a place has
either the value that was acknowledged last, or that of the one write whose outcome is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

# The kind of the place comes first, for example ("param", run, key).
Place = tuple[str, ...]
# Derived from other writes, so not an operation of its own.
LATEST = "latest"


class Outcome(Enum):
    """The answer to a write."""

    ACKNOWLEDGED = "acknowledged"
    # It might take effect, now or later, or it might not.
    UNKNOWN = "unknown"
    # It must not take effect.
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Write:
    """One value that was sent to one place; `time` is that of the answer."""

    place: Place
    value: str
    outcome: Outcome
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class Read:
    """The value that an answer had for a place; None if it had no value."""

    place: Place
    value: str | None
    time: float = 0.0


Event = Write | Read
State = dict[Place, list[str]]


@dataclass
class Violations:
    """All that must not happen, a line each.

    Attributes
    ----------
    lost
        Acknowledged writes that are not there.
    doubled
        Writes that are there several times.
    stale
        Reads that do not have the write that was acknowledged before.
    invented
        Values that nobody has written, or whose write was refused.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self.lost or self.doubled or self.stale or self.invented)

    def add(self, other: Violations) -> None:
        """Add those of another comparison."""
        self.lost += other.lost
        self.doubled += other.doubled
        self.stale += other.stale
        self.invented += other.invented


@dataclass(slots=True)
class _Expected:
    """What a place is allowed to have."""

    acknowledged: str | None = None
    # The write whose outcome is unknown.
    possible: str | None = None

    def allows(self, value: str | None) -> bool:
        """Return whether a read, or the end, is allowed to have this value."""
        if value is None:
            return self.acknowledged is None
        return value in (self.acknowledged, self.possible)

    def __str__(self) -> str:
        also = f" (or {self.possible}, of unknown outcome)" if self.possible else ""
        return f"{self.acknowledged}{also}"


def acknowledged(history: Iterable[Event]) -> int:
    """Return the number of acknowledged operations."""
    return sum(
        isinstance(event, Write)
        and event.outcome is Outcome.ACKNOWLEDGED
        and event.place[0] != LATEST
        for event in history
    )


def check(history: Iterable[Event], state: Mapping[Place, Sequence[str]]) -> Violations:
    """Compare a history with the reads in it, and with the state in the end.

    Parameters
    ----------
    history
        Events in order; the order counts only between events of one place.
    state
        The values of each place in the end; several, if it is there several times.

    Raises
    ------
    ValueError
        If a place was written after a write whose outcome is unknown: then nothing can be said.
    """
    found = Violations()
    expected: dict[Place, _Expected] = {}
    for event in history:
        place = expected.setdefault(event.place, _Expected())
        if isinstance(event, Read):
            if not place.allows(event.value):
                found.stale.append(f"{_line(event)}, after {place}")
            continue
        if place.possible is not None:
            raise ValueError(f"{event.place} was written again after an unknown outcome")
        if event.outcome is Outcome.ACKNOWLEDGED:
            place.acknowledged = event.value
        elif event.outcome is Outcome.UNKNOWN:
            place.possible = event.value
    for name, place in expected.items():
        _check_place(found, name, place, state.get(name, ()))
    found.invented += [
        f"{name}: {values} was not written by anyone"
        for name, values in state.items()
        if name not in expected
    ]
    return found


def _check_place(
    found: Violations, name: Place, expected: _Expected, values: Sequence[str]
) -> None:
    """Compare one place with its values in the end."""
    if len(values) > 1:
        found.doubled.append(f"{name}: {list(values)}")
    wrong = [value for value in values if not expected.allows(value)]
    if expected.acknowledged is None:
        found.invented += [f"{name}: {value} instead of {expected}" for value in wrong]
    elif wrong or not values:
        found.lost.append(f"{name}: {wrong or 'nothing'} instead of {expected}")


def _line(event: Event) -> str:
    return f"{event.place} at {event.time:.3f}: {event.value}"


def of_places(history: Iterable[Event], wanted: Callable[[Place], bool]) -> list[Event]:
    """Return the events of some places."""
    return [event for event in history if wanted(event.place)]
