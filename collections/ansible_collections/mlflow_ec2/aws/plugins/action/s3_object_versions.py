# SPDX-License-Identifier: Apache-2.0
"""Ansible action: repeat module s3_object_versions until the bucket is empty."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display


class ActionModule(ActionBase):
    """Empty a bucket, and print how far it is after each call of the module.

    A module prints nothing before it ends, and hundreds of thousands of versions take minutes.
    """

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the result of the last call, with the sum of what all have deleted."""
        result = super().run(tmp, task_vars)
        deleted = 0
        while True:
            called = self._execute_module(
                module_name="mlflow_ec2.aws.s3_object_versions",
                module_args=self._task.args,
                task_vars=task_vars,
            )
            deleted += called.get("deleted", 0)
            if called.get("failed") or called.get("finished") or self._task.check_mode:
                return result | called | {"deleted": deleted, "changed": deleted > 0}
            Display().display(
                f"{self._task.args.get('bucket')}: {deleted:,} versions deleted so far", stderr=True
            )
