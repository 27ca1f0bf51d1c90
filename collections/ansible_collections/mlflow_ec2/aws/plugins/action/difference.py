# SPDX-License-Identifier: Apache-2.0
"""Ansible action: how what is there differs from what is wanted."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Report what would be changed; ``modules/difference.py`` documents it."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    argument_spec: ClassVar[dict[str, Any]] = {
        "before": {"type": "dict", "required": True},
        "after": {"type": "dict", "required": True},
    }

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return whether they differ, and in what."""
        result = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(self.argument_spec)
        before, after = arguments["before"], arguments["after"]
        names = [name for name in after if before.get(name) != after[name]]
        return result | {
            "changed": bool(names),
            "existed": bool(before),
            "diff": {
                "before": {name: before[name] for name in names if name in before},
                "after": {name: after[name] for name in names},
            },
        }
