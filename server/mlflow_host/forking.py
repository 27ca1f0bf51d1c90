"""Fork the server's workers from a process that has imported MLflow.

A worker that is started on its own imports MLflow again, which takes seconds and memory of its own.
The process that forks them ends then: workers write to most of the memory that they have from it,
so it would be a third copy. The supervisor adopts the workers.

This replaces a private name of uvicorn's, so it is a patch with a fence: `forked_workers`.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import time
from multiprocessing import connection, forkserver, popen_forkserver, util
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from mlflow_host.settings import PROGRAM

# Their names in linux/prctl.h.
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
SECONDS_TO_ADOPT = 30.0
# What status a worker has whose status nobody knows, as in multiprocessing.
UNKNOWN_STATUS = 255


class Launches:
    """Counts workers, to end the process that forks them after the last one.

    Attributes
    ----------
    expected
        Number of workers that are started one after the other. Later ones come alone.
    """

    def __init__(self) -> None:
        """Expect one worker at a time."""
        self.expected = 1

    def count(self) -> None:
        """Note that a worker was forked."""
        self.expected = max(self.expected - 1, 0)
        if not self.expected:
            end_forkserver()


launches = Launches()


class AdoptedProcess(popen_forkserver.Popen):
    """A process that outlives the one that has forked it."""

    def _launch(self, process_obj: Any) -> None:
        """Fork it, and watch it by a file descriptor of its own."""
        super()._launch(process_obj)  # type: ignore[misc]  # the types lack it
        self.sentinel = os.pidfd_open(self.pid)
        # The former one, a pipe of the process that has forked it, is closed with this object.
        self.watched = util.Finalize(self, os.close, (self.sentinel,))
        launches.count()

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Return how it ended, None while it runs."""
        if self.returncode is None:
            timeout = 0 if flag == os.WNOHANG else None
            if not connection.wait([self.sentinel], timeout):
                return None
            try:
                status = os.waitpid(self.pid, 0)[1]
                self.returncode = os.waitstatus_to_exitcode(status)
            except ChildProcessError:
                self.returncode = UNKNOWN_STATUS
        return self.returncode


class Process(ForkServerProcess):
    """A worker as multiprocessing has it."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802  as multiprocessing names it
        return AdoptedProcess(process_obj)


class Context(ForkServerContext):
    """The way in which workers are started."""

    Process = Process


def fork_workers(workers: int) -> None:
    """Make uvicorn fork its workers; before it starts them.

    Parameters
    ----------
    workers
        How many of them it starts at once.
    """
    from uvicorn import _subprocess

    # The forking process finds this package by the variable only.
    path = [str(PROGRAM), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    # It becomes the parent of workers whose parent has ended.
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    launches.expected = workers
    context = Context()
    context.set_forkserver_preload(["mlflow_host.preload"])
    # uvicorn has no setting for the way in which it starts workers.
    vars(_subprocess)["spawn"] = context


def end_forkserver() -> None:
    """End the process that forks workers; the next worker starts a new one."""
    server: Any = vars(forkserver)["_forkserver"]
    # On its own it would clear up all that it has imported.
    os.kill(server._forkserver_pid, signal.SIGKILL)  # noqa: SLF001  multiprocessing has no other way
    server._stop()  # noqa: SLF001  as before


def end_with_parent() -> None:
    """Make the kernel end this worker when its supervisor is killed.

    Otherwise a new supervisor starts new workers beside the old ones.
    """
    supervisor = multiprocessing.parent_process()
    deadline = time.monotonic() + SECONDS_TO_ADOPT
    # The process that has forked this worker ends as soon as it has forked the others.
    while supervisor and os.getppid() != supervisor.pid and time.monotonic() < deadline:
        time.sleep(0.01)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process, see prctl(2)."""
    ctypes.CDLL(None).prctl(option, value)
