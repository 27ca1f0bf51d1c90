"""What goes to a process that works, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from football.config import Config
    from football.data import Table


@dataclass(frozen=True)
class Task:
    """An experiment to run.

    `name` is the config's file, `attempt` tells this try from all others, and `tags` say by whom
    and with what code.
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
    """What became of a task: a run, or none if it was not begun."""

    name: str
    status: str
    seconds: float = 0.0
    run_id: str = ""
    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
