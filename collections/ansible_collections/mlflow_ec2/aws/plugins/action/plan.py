# SPDX-License-Identifier: Apache-2.0
"""Ansible action: what a playbook would do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ansible import context
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# How much of a run that failed is shown.
_LAST_LINES = 40


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
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "ansible", "playbook", "--check", "--diff"),
                    *_same_options(),
                    *("-e", json.dumps(arguments["variables"])),
                    arguments["playbook"],
                ],
                env=os.environ | {"ANSIBLE_PLAN_FILE": str(file), "ANSIBLE_FORCE_COLOR": "false"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            last = _follow(process.stdout or ())
            plan = json.loads(file.read_text()) if file.exists() else {}
        if process.wait() != 0:
            return result | {"failed": True, "msg": f"It cannot be planned: {last}"}
        return result | {"changed": False} | plan


def _same_options() -> Iterator[str]:
    """Yield the options of this run that decide on what a playbook does."""
    for inventory in context.CLIARGS.get("inventory") or ():
        yield from ("-i", inventory)
    for variables in context.CLIARGS.get("extra_vars") or ():
        yield from ("-e", variables)
    for vault in context.CLIARGS.get("vault_ids") or ():
        yield from ("--vault-id", vault)
    for file in context.CLIARGS.get("vault_password_files") or ():
        yield from ("--vault-password-file", file)


def _follow(lines: Iterable[str]) -> str:
    """Show which play is at work; return the last lines of what is said."""
    display = Display()
    last: deque[str] = deque(maxlen=_LAST_LINES)
    for line in lines:
        last.append(line)
        if line.startswith("PLAY ["):
            display.display(f"  {line.partition('[')[2].partition(']')[0]} …")
        else:
            display.vv(line.rstrip())
    return "".join(last)
