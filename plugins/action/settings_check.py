# SPDX-License-Identifier: Apache-2.0
"""Ansible action: whether the roles know the variables of a run and their types."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, ClassVar

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

# What is near enough to a known name to be meant as it.
RESEMBLANCE = 0.85
HOW_TO_WRITE = {
    "list": """a list, as in -e '{{"{name}": [...]}}'""",
    "dict": """a dictionary, as in -e '{{"{name}": {{...}}}}'""",
}


class ActionModule(ActionBase):
    """Compare the variables of the host with the argument specs of roles and inventory.

    Ansible checks a role's arguments when it comes to that role, which is after the roles before
    it have made things, and ignores a misspelt name altogether. This looks at all of them at once.

    Arguments
    ---------
    roles : str
        Directory whose roles have ``meta/argument_specs.yml``.
    specs : str
        YAML file with the options of variables that belong to no role, by name.

    Fails with one line for each variable that is unknown or of the wrong type.
    """

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS: ClassVar = frozenset({"roles", "specs"})

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the problems, none of them or a failure."""
        result = super().run(tmp, task_vars)
        roles, specs = (Path(self._task.args[name]) for name in ("roles", "specs"))
        options = known_options(roles, specs)
        role_names = {path.name for path in roles.iterdir()}

        problems = []
        for name in sorted(task_vars or {}):
            if name in options:
                try:
                    value = self._templar.template((task_vars or {})[name])
                except AnsibleError as error:
                    problems.append(f"{name}: {error}")
                    continue
                problems += wrong_value(name, value, options[name])
            else:
                problems += unknown_name(name, set(options), role_names)

        if problems:
            return {**result, "failed": True, "msg": "\n".join(problems)}
        return {**result, "changed": False}


def known_options(roles: Path, specs: Path) -> dict[str, dict[str, Any]]:
    """Return the option of every variable, as argument specs write them, by its name."""
    options: dict[str, dict[str, Any]] = {}
    for path in roles.glob("*/meta/argument_specs.yml"):
        for entry_point in yaml.safe_load(path.read_text())["argument_specs"].values():
            options |= entry_point.get("options") or {}
    return options | yaml.safe_load(specs.read_text())


def wrong_value(name: str, value: Any, option: dict[str, Any]) -> list[str]:
    """Return what is wrong with a variable's value, an empty list if nothing is."""
    wanted = option["type"]
    # A validator makes a list of a string and goes on with it; the role would get the string.
    if (wanted == "list" and not isinstance(value, list)) or (
        wanted == "dict" and not isinstance(value, dict)
    ):
        return [f"{name}: {value!r} is not {HOW_TO_WRITE[wanted].format(name=name)}."]
    spec = {
        key: content
        for key, content in option.items()
        if key in {"type", "elements", "choices", "options"}
    }
    messages = ArgumentSpecValidator({name: spec}).validate({name: value}).error_messages
    return [f"{name}: {message}" for message in messages] or blank_ends(name, value)


def blank_ends(name: str, value: Any) -> list[str]:
    """Return which texts in a value begin or end with blanks or line breaks.

    Nobody means them, most checks let them pass, and AWS and the host's programs do not.
    """
    if isinstance(value, dict):
        return [
            problem for key, item in value.items() for problem in blank_ends(f"{name}.{key}", item)
        ]
    if isinstance(value, list):
        return [
            problem
            for place, item in enumerate(value)
            for problem in blank_ends(f"{name}[{place}]", item)
        ]
    if isinstance(value, str) and value != value.strip():
        problem = "it begins or ends with a blank or a line break. Remove it."
        return [f"{name}: {str(value)!r} is not a valid value: {problem}"]
    return []


def unknown_name(name: str, known: set[str], roles: set[str]) -> list[str]:
    """Return that a variable is misspelt, an empty list if it is nobody's or known otherwise."""
    # Those with underscores are for a role's own use.
    if name in roles or name.startswith(("ansible_", "__")):
        return []
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=RESEMBLANCE)
    if nearest:
        return [f"{name}: there is no such variable. Is {nearest[0]} meant?"]
    if any(name.startswith(f"{role}_") for role in roles):
        return [f"{name}: there is no such variable; docs/variables.md lists those there are."]
    return []
