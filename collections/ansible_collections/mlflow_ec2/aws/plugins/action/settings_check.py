# SPDX-License-Identifier: Apache-2.0
"""Ansible action: whether the variables of a run are known, effective and of their type."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ansible.errors import AnsibleError
from ansible.inventory.host import Host
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.yaml import yaml_load
from ansible.plugins.action import ActionBase

if TYPE_CHECKING:
    from collections.abc import Iterator

# What is near enough to a known name to be meant as it.
RESEMBLANCE = 0.85
HOW_TO_WRITE = {
    "list": """a list, as in -e '{{"{name}": [...]}}'""",
    "dict": """a dictionary, as in -e '{{"{name}": {{...}}}}'""",
}


class ActionModule(ActionBase):
    """Check all variables of a run; ``modules/settings_check.py`` documents it."""

    TRANSFERS_FILES = False
    _requires_connection = False
    argument_spec: ClassVar[dict[str, Any]] = {
        name: {"type": "path", "required": True}
        for name in ("roles", "playbooks", "specs", "names")
    }

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the problems, none of them or a failure."""
        result = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(self.argument_spec)
        roles, playbooks, specs, names = (Path(arguments[name]) for name in self.argument_spec)
        rules = Rules.read(roles, playbooks, specs, names)
        hostvars = (task_vars or {})["hostvars"]

        # Without what plays and the defaults of roles add to them.
        given = hostvars.raw_get((task_vars or {})["inventory_hostname"])
        problems = []
        for name in sorted(given):
            found = rules.wrong_name(name)
            if not found and name in rules.options:
                try:
                    value = self._templar.template(given[name])
                except AnsibleError as error:
                    problems.append(f"{name}: {error}")
                    continue
                found = wrong_value(name, value, rules.options[name])
            problems += found
        for name in sorted(given_to_groups(hostvars) - given.keys()):
            problems += rules.wrong_name(name)

        if problems:
            return {**result, "failed": True, "msg": "\n".join(problems)}
        return {**result, "changed": False}


def given_to_groups(hostvars: Any) -> set[str]:
    """Return the variables of the inventory's groups, whose hosts might not exist yet."""
    host = Host("settings_check")
    for group in hostvars._inventory.groups.values():  # noqa: SLF001 - nothing else has them
        host.add_group(group)
    manager = hostvars._variable_manager  # noqa: SLF001
    return set(manager.get_vars(host=host, include_hostvars=False))


@dataclass(frozen=True)
class Rules:
    """What is known of variables.

    Attributes
    ----------
    options
        Options of public and wired variables, as argument specs write them, by name.
    renamed
        New names by old ones.
    wired
        What to do instead of setting a variable, by the name of each that a playbook sets.
    roles
        Names of the roles.
    """

    options: dict[str, dict[str, Any]]
    renamed: dict[str, str]
    wired: dict[str, str]
    roles: set[str]

    @classmethod
    def read(cls, roles: Path, playbooks: Path, specs: Path, names: Path) -> Rules:
        """Read the files of a project."""
        options = known_options(roles, specs)
        tables = yaml_load(names.read_text())
        wired = {
            name: tables["wired"].get(name, "Remove it.")
            for name in wired_variables(playbooks, roles)
            if name in options or name in tables["wired"]
        }
        return cls(options, tables["renamed"], wired, {path.name for path in roles.iterdir()})

    @property
    def public(self) -> dict[str, dict[str, Any]]:
        """Options of the variables that a user may set."""
        return {name: option for name, option in self.options.items() if name not in self.wired}

    def wrong_name(self, name: str) -> list[str]:
        """Return that setting a variable has no effect, an empty list if it has."""
        if name in self.renamed:
            return [f"{name}: is now {self.renamed[name]}. Rename it."]
        if name in self.wired:
            return [f"{name}: is set by the playbooks. {self.wired[name]}"]
        if name in self.options:
            return []
        return unknown_name(name, set(self.public), self.roles)


def wired_variables(playbooks: Path, roles: Path) -> set[str]:
    """Return the variables that are set for roles, and so cannot be set by a user.

    Playbooks set them in their `vars` or in the files that they name, roles in the `vars` of tasks
    that run another role.
    """
    names: set[str] = set()
    for path in [*playbooks.glob("*.yml"), *playbooks.glob("tasks/*.yml")]:
        for mapping in mappings(yaml_load(path.read_text())):
            names |= set(mapping.get("vars") or {})
            for file in mapping.get("vars_files") or []:
                names |= set(yaml_load((path.parent / file).read_text()))
    for path in roles.glob("*/tasks/*.yml"):
        role = path.parent.parent.name
        for mapping in mappings(yaml_load(path.read_text())):
            names |= {name for name in mapping.get("vars") or {} if not of_role(name, role)}
    return names


def of_role(name: str, role: str) -> bool:
    """Return whether a variable is one of a role, or for a role's own use."""
    return name.startswith((f"{role}_", "__"))


def mappings(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield each mapping of a playbook: plays, blocks, tasks and what is in them."""
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for child in tree:
            yield from mappings(child)


def known_options(roles: Path, specs: Path) -> dict[str, dict[str, Any]]:
    """Return the option of every variable, as argument specs write them, by its name."""
    options: dict[str, dict[str, Any]] = {}
    for path in roles.glob("*/meta/argument_specs.yml"):
        for entry_point in yaml_load(path.read_text())["argument_specs"].values():
            options |= entry_point.get("options") or {}
    return options | yaml_load(specs.read_text())


def wrong_value(name: str, value: Any, option: dict[str, Any]) -> list[str]:
    """Return what is wrong with a variable's value, an empty list if nothing is."""
    wanted = option["type"]
    # A validator makes a list of a string and continues with it; the role would get the string.
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

    They are mistakes. Most checks accept them, but AWS and the host's programs do not.
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
