# SPDX-License-Identifier: Apache-2.0
"""Ansible action: how what is there differs from what is wanted."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Report what would be changed, where a module itself cannot under --check.

    Arguments
    ---------
    before : dict
        What is there; empty if nothing is.
    after : dict
        What is wanted, by the same names.

    The task is changed if they differ, and its diff holds the names that do.
    """

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS: ClassVar = frozenset({"before", "after"})

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return whether they differ, and in what."""
        result = super().run(tmp, task_vars)
        before, after = (self._task.args.get(name) for name in ("before", "after"))
        if not isinstance(before, dict) or not isinstance(after, dict):
            raise AnsibleActionFail("difference: before and after are dictionaries")
        names = [name for name in after if before.get(name) != after[name]]
        return result | {
            "changed": bool(names),
            "existed": bool(before),
            "diff": {
                "before": {name: before[name] for name in names if name in before},
                "after": {name: after[name] for name in names},
            },
        }
