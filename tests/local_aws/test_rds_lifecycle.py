"""The status of a DB instance follows from its queue of jobs."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from local_aws.services.rds.lifecycle import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 10.0


class Entry:
    """What a queue needs of moto's entry."""

    db_instance_identifier = "metadata"
    status = "available"


class Life:
    """A queue whose jobs wait until the test lets them end."""

    def __init__(self) -> None:
        self.entry = Entry()
        self.lifecycle = Lifecycle(cast("Any", self.entry))
        self.done: list[str] = []
        self._gates: dict[str, threading.Event] = {}

    def job(self, name: str, *, fails: bool = False) -> Callable[[], None]:
        """Return a job that runs until `end` is called with its name."""
        gate = self._gates[name] = threading.Event()

        def work() -> None:
            assert gate.wait(SECONDS)
            if fails:
                raise RuntimeError(f"{name} failed")
            self.done.append(name)

        return work

    def end(self, *names: str, status: str) -> None:
        """End jobs and wait for the status that follows."""
        for name in names:
            self._gates[name].set()
        deadline = time.monotonic() + SECONDS
        while self.entry.status != status:
            assert time.monotonic() < deadline, self.entry.status
            time.sleep(0.005)

    def close(self) -> None:
        """End all jobs."""
        for gate in self._gates.values():
            gate.set()
        self.lifecycle.close()


@pytest.fixture
def life() -> Iterator[Life]:
    made = Life()
    yield made
    made.close()


def test_begin_shows_its_status_at_once_and_the_result_when_the_job_ends(life: Life) -> None:
    life.lifecycle.begin("stopping", life.job("stop"), "stopped")

    assert life.entry.status == "stopping"
    life.end("stop", status="stopped")


def test_follow_shows_its_status_when_its_turn_comes_and_never_available_before(
    life: Life,
) -> None:
    life.lifecycle.begin("creating", life.job("create"), "available")
    life.lifecycle.follow("backing-up", life.job("back up"))

    assert life.entry.status == "creating"
    life.end("create", status="backing-up")
    life.end("back up", status="available")
    assert life.done == ["create", "back up"]


def test_submit_leaves_the_status_unchanged(life: Life) -> None:
    future = life.lifecycle.submit(life.job("reload"))

    assert life.entry.status == "available"
    life.end("reload", status="available")
    future.result(SECONDS)
    assert life.done == ["reload"]


def test_begin_twice_shows_the_latest_status_and_keeps_the_order(life: Life) -> None:
    life.lifecycle.begin("modifying", life.job("password"), "available")
    life.lifecycle.begin("renaming", life.job("rename"), "available")

    assert life.entry.status == "renaming"
    life.end("rename", "password", status="available")
    assert life.done == ["password", "rename"]


def test_failed_job_leaves_the_instance_failed_and_is_logged(
    life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    life.lifecycle.begin("modifying", life.job("password", fails=True), "available")
    life.lifecycle.begin("modifying", life.job("modify"), "available")
    with caplog.at_level(logging.ERROR, logger="local_aws"):
        life.end("password", "modify", status="failed")

    [record] = caplog.records
    assert record.getMessage() == "DB instance metadata: a job failed"
    assert "password failed" in str(record.exc_info)


def test_failed_follow_leaves_the_instance_available(life: Life) -> None:
    life.lifecycle.begin("creating", life.job("create"), "available")
    life.lifecycle.follow("backing-up", life.job("back up", fails=True))

    life.end("create", status="backing-up")
    life.end("back up", status="available")


@pytest.mark.parametrize("fails", [True, False])
def test_follow_of_an_instance_that_is_not_available_is_skipped(
    life: Life,
    fails: bool,  # noqa: FBT001 - parametrised
) -> None:
    life.lifecycle.begin("creating", life.job("create", fails=fails), "available")
    life.lifecycle.follow("backing-up", life.job("back up"))
    if not fails:
        life.lifecycle.begin("deleting", life.job("delete"), "deleting")
        life.end("create", "back up", "delete", status="deleting")
    else:
        life.end("create", "back up", status="failed")
    life.lifecycle.submit(lambda: None).result(SECONDS)

    assert "back up" not in life.done


def test_deletion_requested_during_creation_is_shown_until_the_end(life: Life) -> None:
    life.lifecycle.begin("creating", life.job("create"), "available")
    life.lifecycle.begin("deleting", life.job("delete"), "deleting")

    assert life.entry.status == "deleting"
    life.end("create", status="deleting")
    life.end("delete", status="deleting")
    life.lifecycle.submit(lambda: None).result(SECONDS)
    assert life.done == ["create", "delete"]
