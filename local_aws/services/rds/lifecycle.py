"""The status of one DB instance, and the queue of the work that changes it.

1. A request adds a job: `begin` shows its status at once, `follow` only when its turn comes, and
   `submit` never.
2. One thread per instance runs the jobs, in the order of the requests.
3. When a job ends, the instance shows the status of the next job. After the last one, it shows the
   result of the job that ended (`available` or `stopped`).
4. When a job of `begin` raises an error, the error is logged, and the instance stays `failed` until
   it is deleted. An error in another job is logged and does not change the status.

Only this class writes the status of an instance that has a queue. It does so under a lock.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from moto.rds.models import DBInstance

# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/accessing-monitoring.html
Status = Literal[
    "available",
    "backing-up",
    "creating",
    "deleting",
    "failed",
    "modifying",
    "rebooting",
    "renaming",
    "starting",
    "stopped",
    "stopping",
    "upgrading",
]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Job:
    """One piece of work.

    Attributes
    ----------
    during
        Status of the instance while the job waits or runs; None when the job does not show.
    after
        Status of the instance when the job has succeeded; None leaves it as it is.
    is_shown_at_once
        Whether `during` is shown from the request on, before earlier jobs have ended.
    """

    work: Callable[[], None]
    during: Status | None = None
    after: Status | None = None
    is_shown_at_once: bool = False


class Lifecycle:
    """The status and the queue of one DB instance."""

    def __init__(self, instance: DBInstance) -> None:
        """Own the status of moto's entry from now on."""
        self._instance = instance
        self._lock = threading.Lock()
        self._unfinished: list[_Job] = []
        # The status when no job is left.
        self._result: Status = "available"
        self._thread = ThreadPoolExecutor(1, "rds")

    def begin(self, during: Status, work: Callable[[], None], after: Status) -> None:
        """Show `during` now; run `work` after the earlier jobs; then show `after`."""
        self._add(_Job(work, during, after, is_shown_at_once=True))

    def follow(self, during: Status, work: Callable[[], None]) -> None:
        """Run `work` after the earlier jobs, if the instance is available then.

        The instance is not shown as available before `work` has ended.
        """
        self._add(_Job(work, during, "available"))

    def submit(self, work: Callable[[], None]) -> Future[None]:
        """Run `work` after the earlier jobs, without showing it in the status."""
        return self._add(_Job(work))

    def close(self) -> None:
        """Accept no more jobs; those that wait are still run."""
        self._thread.shutdown(wait=False)

    def _add(self, job: _Job) -> Future[None]:
        with self._lock:
            self._unfinished.append(job)
            self._show()
        return self._thread.submit(self._run, job)

    def _run(self, job: _Job) -> None:
        """Run one job; the thread of the queue has no caller that could handle an error."""
        result = job.after
        try:
            if self._is_due(job):
                job.work()
        except Exception:  # noqa: BLE001 - see above
            _log.exception("DB instance %s: a job failed", self._instance.db_instance_identifier)
            if job.is_shown_at_once:
                result = "failed"
        finally:
            self._end(job, result)

    def _is_due(self, job: _Job) -> bool:
        """Skip the work of `follow` when the instance has failed or is being deleted."""
        is_of_follow = job.during is not None and not job.is_shown_at_once
        return not is_of_follow or self._instance.status == job.during

    def _end(self, job: _Job, result: Status | None) -> None:
        with self._lock:
            self._unfinished.remove(job)
            if result is not None and self._result != "failed":
                self._result = result
            self._show()

    def _show(self) -> None:
        """Write the status that follows from the jobs that are left."""
        self._instance.status = self._status()

    def _status(self) -> Status:
        shown_at_once = [job.during for job in self._unfinished if job.is_shown_at_once]
        if shown_at_once and shown_at_once[-1] is not None:
            return shown_at_once[-1]
        due = [job.during for job in self._unfinished if job.during is not None]
        if due and self._result == "available":
            return due[0]
        return self._result
