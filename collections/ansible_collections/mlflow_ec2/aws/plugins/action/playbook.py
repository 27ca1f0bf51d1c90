# SPDX-License-Identifier: Apache-2.0
"""Ansible action: run a playbook with other variables than those of this run."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from ansible.plugins.action import ActionBase
from ansible_collections.mlflow_ec2.aws.plugins.plugin_utils.nested_runs import run_playbook


class ActionModule(ActionBase):
    """Run a playbook; ``modules/playbook.py`` documents it."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    argument_spec: ClassVar[dict[str, Any]] = {
        "playbook": {"type": "str", "required": True},
        "variables": {"type": "dict", "default": {}},
    }

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return how long it took."""
        result = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(self.argument_spec)
        began = time.monotonic()
        options = ("--check",) if self._task.check_mode else ()
        status, last = run_playbook(arguments["playbook"], arguments["variables"], *options)
        if status != 0:
            return result | {
                "failed": True,
                "msg": f"Playbook {arguments['playbook']} has failed. Its last lines: {last}",
            }
        return result | {"changed": True, "seconds": round(time.monotonic() - began)}
