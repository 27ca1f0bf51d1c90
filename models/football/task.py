"""The arguments and the result of one experiment in a worker process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from football.config import Config
    from football.data import Table


@dataclass(frozen=True)
class Task:
    """An experiment to run.

    `name` is the config's file, `attempt` identifies this attempt among all others, and `tags` hold
    the user and the version of the code.
    """

    name: str
    config: Config
    table: Table
    experiment_id: str
    attempt: str
    tags: dict[str, str] = field(default_factory=dict)
    register: bool = True


@dataclass(frozen=True)
class Outcome:
    """The result of a task: a run, or none if it was not started."""

    name: str
    status: str
    seconds: float = 0.0
    run_id: str = ""
    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
