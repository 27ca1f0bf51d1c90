"""A whole deployment, and the table of the faults that it has gone through."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT, LocalAws, started
from tests.sites_below import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.load.oracle import Event

NAME = "faults"
PORT = 5590
# As on AWS: the interfaces of a function outlive it, and a failover takes a minute.
SETTINGS = {"LOCAL_AWS_LAMBDA_INTERFACE_SECONDS": "60", "LOCAL_AWS_RDS_FAILOVER_SECONDS": "60"}
HEAD = (
    f"{'fault':42} {'acknowledged':>12} {'unknown':>8} {'reads':>6}"
    f" {'lasted':>7} {'silence':>8} {'again after':>12}"
)


@dataclass(frozen=True)
class Row:
    """A line of the table; times in seconds.

    Attributes
    ----------
    acknowledged, unknown, reads
        Operations of the client, from before the fault until after it.
    lasted
        From the beginning of the fault to its end.
    silence
        The longest time without an acknowledgement.
    again
        From the end of the fault until all threads of the client had answers again.
    """

    fault: str
    acknowledged: int
    unknown: int
    reads: int
    lasted: float
    silence: float
    again: float

    def __str__(self) -> str:
        return (
            f"{self.fault:42} {self.acknowledged:12} {self.unknown:8} {self.reads:6}"
            f" {self.lasted:7.1f} {self.silence:8.1f} {self.again:12.1f}"
        )


@dataclass
class Record:
    """All that the client has seen, over all faults.

    Attributes
    ----------
    rows
        The lines of the table.
    history, experiments
        Of all clients, one after the other.
    deployed
        Seconds that the first run of site.yml took.
    """

    rows: list[Row] = field(default_factory=list)
    history: list[Event] = field(default_factory=list)
    experiments: list[str] = field(default_factory=list)
    deployed: float = 0.0


_rows: list[Row] = []


@pytest.fixture(scope="session")
def record() -> Record:
    return Record(_rows)


@pytest.fixture(scope="session")
def site(record: Record) -> Iterator[Site]:
    """The deployment, whose database has a file system of its own."""
    shutil.rmtree(ROOT / ".deploy" / NAME, ignore_errors=True)
    variables = {"deployment": NAME, "aws_rds_multi_az": True}
    aws = LocalAws(ROOT / ".cache/faults", PORT, variables, SETTINGS)
    with contextlib.contextmanager(started)(aws):
        began = time.monotonic()
        play = aws.play("site.yml")
        assert play.returncode == 0, play.output
        record.deployed = time.monotonic() - began
        made = Site(aws, NAME)
        with made.small_database_disk():
            yield made
    subprocess.run(["rm", "-rf", ROOT / ".deploy" / NAME], check=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if _rows:
        terminalreporter.section("faults")
        terminalreporter.write_line(HEAD)
        for row in _rows:
            terminalreporter.write_line(str(row))
