# SPDX-License-Identifier: Apache-2.0
"""Ansible action: install packages of Debian, and ask apt only if one of them is missing."""

from __future__ import annotations

import re
import shlex
from typing import Any, ClassVar, NamedTuple

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

# Daily updates can hold apt's locks for minutes.
LOCK_SECONDS = 600
# deb-version(7) and the policy manual, 5.6.1
_SPECIFICATION = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]+)(?:>=(?P<least>[A-Za-z0-9.+:~-]+))?")


class Package(NamedTuple):
    """A package that is needed, and the least version, which is empty for any."""

    name: str
    least: str


class ActionModule(ActionBase):
    """Run ``ansible.builtin.apt`` where it is needed; ``modules/apt_packages.py`` documents it."""

    argument_spec: ClassVar[dict[str, Any]] = {
        "name": {"type": "list", "elements": "str", "required": True},
        "refresh_lists": {"type": "bool", "default": False},
        "start_services": {"type": "bool", "default": True},
    }

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the result of apt; unchanged without asking it if all are installed."""
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(self.argument_spec)
        packages = [parse(text) for text in arguments["name"]]
        present = self._low_level_execute_command(look(packages))["stdout"].splitlines()
        has_lists = "lists" in present
        if all(f"installed {package.name}" in present for package in packages):
            return {"changed": False}
        if self._task.check_mode and (arguments["refresh_lists"] or not has_lists):
            return {"skipped": True, "skip_reason": "Without package lists apt cannot plan."}
        module_arguments = {
            "name": arguments["name"],
            "install_recommends": False,
            "update_cache": True,
            # A new image has no package lists, whatever the age of their folder.
            "cache_valid_time": 86400 if has_lists and not arguments["refresh_lists"] else 0,
            "lock_timeout": LOCK_SECONDS,
        }
        if not arguments["start_services"]:
            module_arguments["policy_rc_d"] = 101
        result: dict[str, Any] = self._execute_module(
            module_name="ansible.builtin.apt", module_args=module_arguments, task_vars=task_vars
        )
        return result


def parse(text: str) -> Package:
    """Return a package of an option `name`."""
    found = _SPECIFICATION.fullmatch(text)
    if not found:
        raise AnsibleActionFail(
            f"name: {text} is not a valid package: write its name, or name>=version."
        )
    return Package(found["name"], found["least"] or "")


def look(packages: list[Package]) -> str:
    """Return a shell command that prints ``installed NAME`` of each package, and ``lists``.

    A package is printed if it is installed in a version that suffices, and ``lists`` if apt has
    lists of packages.
    """
    lines = ["set -- /var/lib/apt/lists/*_Packages*", '[ ! -e "$1" ] || echo lists']
    for name, least in packages:
        show = f"dpkg-query --show --showformat='${{db:Status-Status}} ${{Version}}' {name}"
        lines += [
            f"set -- $({show} 2>/dev/null)",
            f'[ "$1" != installed ] || {enough(least)} echo {shlex.quote(f"installed {name}")}',
        ]
    return "\n".join(lines)


def enough(least: str) -> str:
    """Return the shell command before which a version, ``$2``, suffices."""
    return f'! dpkg --compare-versions "$2" ge {shlex.quote(least)} ||' if least else ""
