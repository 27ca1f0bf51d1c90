# SPDX-License-Identifier: Apache-2.0
"""Ansible action: what a playbook would do."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from ansible.plugins.action import ActionBase
from ansible_collections.mlflow_ec2.aws.plugins.plugin_utils.nested_runs import run_playbook


class ActionModule(ActionBase):
    """Run a playbook under --check; ``modules/plan.py`` documents it."""

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
        """Return the plan."""
        result = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(self.argument_spec)
        with tempfile.TemporaryDirectory(prefix="plan-") as directory:
            file = Path(directory, "plan.json")
            status, last = run_playbook(
                arguments["playbook"],
                arguments["variables"],
                *("--check", "--diff"),
                environment={"ANSIBLE_PLAN_FILE": str(file)},
            )
            plan = json.loads(file.read_text()) if file.exists() else {}
        if status != 0:
            return result | {"failed": True, "msg": f"It cannot be planned: {last}"}
        return result | {"changed": False} | plan
