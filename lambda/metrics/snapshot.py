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


class Alias(NamedTuple):
    """An alias of a registered model, and what its version's run has logged.

    `workspace` is empty where the model is in MLflow's default one. `keys` and `values` are as in
    `Run`; `experiment_id` is known if the run is active.
    """

    workspace: str
    model: str
    alias: str
    version: int
    run_id: str | None
    experiment_id: int | None
    keys: Sequence[str] = ()
    values: Sequence[str] = ()


class Version(NamedTuple):
    """A version of a registered model that a latest run has made."""

    workspace: str
    model: str
    version: int
    run_id: str


class ModelSize(NamedTuple):
    """How many versions a registered model has."""

    workspace: str
    model: str
    versions: int


class Models(NamedTuple):
    """The registry; `trouble` says why nothing is known, if so."""

    aliases: Sequence[Alias] = ()
    versions: Sequence[Version] = ()
    sizes: Sequence[ModelSize] = ()
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
    models
        Registered models.
    query_seconds
        What the database took for the runs, connecting included.
    """

    schema: str
    indexed: bool = True
    runs: Sequence[Run] = ()
    dropped: Mapping[str, int] = MappingProxyType({})
    counts: Counts = Counts()
    models: Models = Models()
    query_seconds: float = 0.0
