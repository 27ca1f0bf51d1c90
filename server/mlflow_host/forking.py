"""Fork the server's workers from a process that has imported MLflow.

A worker that is started on its own imports MLflow again, which takes seconds and memory of its own.
This replaces a private name of uvicorn's, so it is a patch with a fence: `forked_workers`.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal

from mlflow_host.settings import PROGRAM


def fork_workers() -> None:
    """Make uvicorn fork its workers; before it starts them."""
    from uvicorn import _subprocess

    # The forking process finds this package by the variable only.
    path = [str(PROGRAM), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow_host.preload"])
    # uvicorn has no setting for the way in which it starts workers.
    vars(_subprocess)["spawn"] = context


def end_with_parent() -> None:
    """Make the kernel end this worker when the process that it was forked from is killed.

    The supervisor learns from that process how its workers are. Without it, the supervisor starts
    new workers beside the old ones.
    """
    PR_SET_PDEATHSIG = 1  # noqa: N806  its name in linux/prctl.h
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
