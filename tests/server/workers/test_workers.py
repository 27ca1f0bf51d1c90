"""Workers are forked from a process that ends, and belong to the supervisor then."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.tracking_server import deployed_server, of_optional_patches
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Cluster
    from tests.tracking_server import Server

pytestmark = of_optional_patches
# How a process shows that it was forked; the tracker of multiprocessing was not.
FORKED = "from multiprocessing.forkserver import main"


@pytest.fixture
def server(cluster: Cluster, tmp_path: Path, version: str) -> Iterator[Server]:
    database = f"workers-{tmp_path.name}"
    cluster.execute(f'CREATE DATABASE "{database}"')
    with deployed_server(cluster, database, tmp_path, version=version) as running:
        yield running


def parent(pid: int) -> int:
    """Return the parent of a process; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[1])


def workers(server: Server) -> list[int]:
    """Return the supervisor's children that were forked."""
    return [
        pid
        for pid in server.processes()[1:]
        if FORKED in Path(f"/proc/{pid}/cmdline").read_text() and parent(pid) == server.process.pid
    ]


def started(server: Server) -> int:
    """Return how many workers have begun to serve."""
    return log(server).count("Application startup complete")


def has_started(server: Server, number: int) -> bool:
    return started(server) == number


def log(server: Server) -> str:
    assert server.host
    return Path(server.host.settings["HOME"], "log").read_text()


def answers(server: Server) -> bool:
    return server.session().get(f"{server.url}/health", timeout=60).ok


def test_only_workers_are_left_of_what_has_imported_mlflow(server: Server) -> None:
    forked = [
        pid for pid in server.processes() if FORKED in Path(f"/proc/{pid}/cmdline").read_text()
    ]

    assert len(forked) == 2
    assert workers(server) == forked


def test_killed_worker_is_replaced_twice(server: Server) -> None:
    for number in (1, 2):
        killed, left = workers(server)
        os.kill(killed, signal.SIGKILL)

        assert eventually(partial(has_started, server, 2 + number))
        assert left in workers(server)
        assert len(workers(server)) == 2
        assert answers(server)
    assert log(server).count(" died") == 2


def test_workers_end_with_a_killed_supervisor(server: Server) -> None:
    found = workers(server)

    server.process.kill()

    assert eventually(lambda: not any(map(parent, found)))


def test_stop_ends_workers_and_supervisor(server: Server) -> None:
    found = workers(server)

    server.process.terminate()

    assert server.process.wait(60) == 0
    assert not any(map(parent, found))
