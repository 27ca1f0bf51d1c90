# SPDX-License-Identifier: Apache-2.0
"""Ansible callback: a run ends when its lock is released."""

from __future__ import annotations

import atexit
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from ansible.plugins.callback import CallbackBase
from ansible.utils.display import Display
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.lock_keeper import is_running

if TYPE_CHECKING:
    from ansible.executor.task_result import CallbackTaskResult

DOCUMENTATION = """
name: lock
type: aggregate
short_description: Ends a run when the lock of its deployment is released
description:
  - Lets the process that releases the lock do so at the end of the run, and waits for it. After
    C(ansible-playbook) has ended, the next run finds no lock.
  - Without this callback, the lock is released about a second later. If the run is the first
    process of a container, which ends with it, the lock would stay.
"""

# Seconds that the release takes at most. It goes on without the run.
LONGEST = 30
PAUSE = 0.01


class CallbackModule(CallbackBase):
    """Looks for the task that takes the lock."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "lock"
    CALLBACK_NEEDS_ENABLED: ClassVar = True

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Release the lock when this process ends, in whatever way Python notices."""
        keeper = result.result.get("keeper")
        if keeper and result.task.action == "mlflow_ec2.aws.deployment_lock":
            atexit.register(release, os.getpid(), keeper)


def release(run: int, keeper: dict[str, Any]) -> None:
    """Let the process release the lock, and wait for it; `run` is the process of the run."""
    # Children of the run have inherited the registration.
    if os.getpid() != run:
        return
    if not is_running(keeper["process"], keeper["start"]):
        Display().warning(
            "The process that releases the lock has ended before the run. If the lock is still "
            "there, the next run on this machine removes it."
        )
        return
    with suppress(ProcessLookupError):
        os.kill(keeper["process"], signal.SIGTERM)
    end = time.monotonic() + LONGEST
    while is_running(keeper["process"], keeper["start"]) and time.monotonic() < end:
        time.sleep(PAUSE)
