# SPDX-License-Identifier: Apache-2.0
"""Ansible callback: tasks and their outcome in the transcript of a run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ansible import context
from ansible.plugins.callback import CallbackBase

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook import Playbook
    from ansible.playbook.task import Task

DOCUMENTATION = """
name: transcript
type: aggregate
short_description: Tasks and their outcome in the transcript of a run
description:
  - Writes the tasks of a run, their changes and failures, and its recap between the calls to AWS
    in the file of E(AWS_TRANSCRIPT). Without that variable it does nothing.
  - It requires the project's virtual environment, whose interpreters record the calls.
"""


class CallbackModule(CallbackBase):
    """Hands events to the recorder of this process."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "transcript"
    CALLBACK_NEEDS_ENABLED: ClassVar = True

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        """Write which playbook begins."""
        if os.environ.get("AWS_TRANSCRIPT") and _recorder() is None:
            self._display.warning(
                "AWS_TRANSCRIPT: nothing is recorded: this is not the Ansible of the virtual "
                "environment. Run `make setup`, then .venv/bin/ansible-playbook."
            )
        name = Path(playbook._file_name).name  # noqa: SLF001 -- no public name
        self._write("playbook", name=name, check=int(bool(context.CLIARGS.get("check"))))

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:  # noqa: FBT001 -- Ansible's signature
        """Write which task begins."""
        del is_conditional
        self._write("task", name=task.get_name(), action=task.action)

    def v2_playbook_on_handler_task_start(self, task: Task) -> None:
        """Write which handler begins."""
        self._write("task", name=task.get_name(), action=task.action)

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Write a change."""
        if result.result.get("changed"):
            self._write("changed", name=result.task_name, host=result.host.get_name())

    def v2_runner_on_failed(
        self,
        result: CallbackTaskResult,
        ignore_errors: bool = False,  # noqa: FBT001, FBT002 -- Ansible's signature
    ) -> None:
        """Write a failure with its message."""
        self._failed(result, "ignored" if ignore_errors else "failed")

    def v2_runner_item_on_failed(self, result: CallbackTaskResult) -> None:
        """Write the failure of an item of a loop."""
        self._failed(result, "failed")

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        """Write that a host did not answer."""
        self._failed(result, "unreachable")

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Write the recap."""
        counts = {
            "ok": stats.ok,
            "changed": stats.changed,
            "failed": stats.failures,
            "unreachable": stats.dark,
        }
        self._write("end", **{name: sum(hosts.values()) for name, hosts in counts.items()})

    def _failed(self, result: CallbackTaskResult, event: str) -> None:
        message = str(result.result.get("msg", ""))
        host = result.host.get_name()
        self._write(event, name=result.task_name, host=host, message=message)

    def _write(self, event: str, **members: str | int) -> None:
        recorder = _recorder()
        if recorder is not None:
            recorder.event(event, **members)


def _recorder() -> Any:
    """Return the recorder that the interpreter started, if it did."""
    recording = sys.modules.get("aws_transcript.recording")
    return recording.current() if recording else None
