# SPDX-License-Identifier: Apache-2.0
"""Ansible action: copy a folder of Python sources to a host as one file that Python runs."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import Any, ClassVar

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

# The oldest date that a zip can hold. The file depends on the sources alone.
TIMESTAMP = (1980, 1, 1, 0, 0, 0)
# A regular file that all may read.
ATTRIBUTES = 0o100644 << 16


class ActionModule(ActionBase):
    """Pack a folder for ``ansible.builtin.copy``; ``modules/python_zipapp.py`` documents it."""

    TRANSFERS_FILES = True
    argument_spec: ClassVar[dict[str, Any]] = {
        "src": {"type": "str", "required": True},
        "dest": {"type": "str", "required": True},
        "owner": {"type": "str"},
        "group": {"type": "str"},
        "mode": {"type": "raw"},
    }

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the result of the copy."""
        super().run(tmp, task_vars)
        self.validate_argument_spec(self.argument_spec)
        folder = Path(self._task.args["src"])
        if not (folder / "__main__.py").is_file():
            raise AnsibleActionFail(f"src: {folder} is not a valid folder: it lacks __main__.py.")
        with tempfile.TemporaryDirectory() as scratch:
            packed = Path(scratch) / Path(self._task.args["dest"]).name
            write_zipapp(folder, packed)
            task = self._task.copy()
            task.args = {**self._task.args, "src": str(packed)}
            copy = self._shared_loader_obj.action_loader.get(
                "ansible.legacy.copy",
                task=task,
                connection=self._connection,
                play_context=self._play_context,
                loader=self._loader,
                templar=self._templar,
                shared_loader_obj=self._shared_loader_obj,
            )
            result: dict[str, Any] = copy.run(task_vars=task_vars)
        # A zip is binary: its difference says nothing.
        result.pop("diff", None)
        return result


def write_zipapp(folder: Path, path: Path) -> None:
    """Write the Python and JSON files of a folder as a zip, the same one for the same files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.suffix in {".py", ".json"} and file.is_file():
                info = zipfile.ZipInfo(file.relative_to(folder).as_posix(), TIMESTAMP)
                info.external_attr = ATTRIBUTES
                archive.writestr(info, file.read_bytes())
