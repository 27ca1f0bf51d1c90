# SPDX-License-Identifier: Apache-2.0
"""Ansible action: take the lock of a deployment for this run of the playbook."""

from __future__ import annotations

import getpass
import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase
from ansible_collections.mlflow_ec2.aws.plugins.module_utils import lock_keeper


class ActionModule(ActionBase):
    """Add the owner of the lock, and start the process that releases it."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the result of the module, with the process that releases the lock."""
        result = super().run(tmp, task_vars)
        if self._task.check_mode or self._task.args.get("state") == "absent":
            return result | self._call(task_vars, {})
        environment = self._environment()
        # It starts while the module is at work.
        keeper = _start_keeper(environment)
        # Ansible executes an action in a child of the process that runs the playbook.
        run = os.getppid()
        process = {"process": run, "start": lock_keeper.start_of(run)}
        owner = {
            "user": f"{_user()}@{socket.gethostname()}",
            "playbook": ", ".join(Path(name).name for name in context.CLIARGS.get("args") or ()),
            "machine": lock_keeper.machine(),
            "run": uuid.uuid4().hex,
            **process,
        }
        called = self._call(task_vars, {"owner": owner})
        with keeper.stdin as pipe:  # type: ignore[union-attr]  # it is a pipe
            if called.get("locked"):
                lock = {
                    **{name: self._task.args[name] for name in ("bucket", "key")},
                    "version_id": called["lock"]["version_id"],
                    "region": environment.get("AWS_REGION"),
                    **process,
                }
                pipe.write(json.dumps(lock))
                start = lock_keeper.start_of(keeper.pid)
                called["keeper"] = {"process": keeper.pid, "start": start}
        return result | called

    def _call(self, task_vars: dict[str, Any] | None, added: dict[str, Any]) -> dict[str, Any]:
        called: dict[str, Any] = self._execute_module(
            module_name="mlflow_ec2.aws.deployment_lock",
            module_args=self._task.args | added,
            task_vars=task_vars,
        )
        return called

    def _environment(self) -> dict[str, str]:
        """Return the environment of the task: where AWS is, and who calls it."""
        parts = self._task.environment or []
        found: dict[str, str] = {}
        for part in parts if isinstance(parts, list) else [parts]:
            found |= self._templar.template(part) or {}
        return {name: str(value) for name, value in found.items()}


def _user() -> str:
    """Return the name of the user, or the number if the user has none."""
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return f"uid-{os.getuid()}"


def _start_keeper(environment: dict[str, str]) -> subprocess.Popen[str]:
    """Start the process that releases the lock, in a session of its own.

    SIGTERM stays blocked in it until it looks for the signal, so none ends it before.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        return subprocess.Popen(
            [sys.executable, lock_keeper.__file__],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
