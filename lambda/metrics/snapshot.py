"""What the database holds at one moment: the store reads it, the exposition writes it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Run(NamedTuple):
    """The latest run of an experiment.

    Times are in milliseconds since 1970. `tags` has a value for each tag that was asked for.
    `keys` and `values` are the metrics, side by side; a value is a number as Prometheus reads it.
    """

    run_id: str
    run_name: str | None
    status: str | None
    start_time: int | None
    end_time: int | None
    experiment_id: int
    experiment_name: str
    tags: Sequence[str | None] = ()
    keys: tuple[str, ...] = ()
    values: Sequence[str] = ()


class Count(NamedTuple):
    """A number of things of one kind, such as runs of a status; `kind` may be all there is."""

    what: str
    kind: str | None
    number: float


class Counts(NamedTuple):
    """How many there are of what.

    `counted_at` is in seconds since 1970; `trouble` says why nothing is known, if so.
    """

    numbers: Sequence[Count] = ()
    counted_at: float = 0.0
    trouble: str = ""


class Snapshot(NamedTuple):
    """What one question found.

    Attributes
    ----------
    schema
        Revision of MLflow's schema.
    indexed
        Whether the index over the latest runs is there.
    runs
        One run per experiment, those that started last first.
    dropped
        Samples that were left out, by reason.
    counts
        How many there are of what.
    query_seconds
        What the database took for the runs, connecting included.
    """

    schema: str
    indexed: bool = True
    runs: Sequence[Run] = ()
    dropped: Mapping[str, int] = MappingProxyType({})
    counts: Counts = Counts()
    query_seconds: float = 0.0
