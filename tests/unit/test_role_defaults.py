"""Each play has the defaults of the roles whose variables its tasks read.

A role's defaults are those of a play only if the play imports the role, so tasks of one role that
read a variable of another one work in some plays and fail in others.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.mappings import mappings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
# Neither an attribute, nor a key, nor what has a value where it is undefined.
NAME = re.compile(r"(?<![.\w])[A-Za-z_]\w*\b(?!':|\s*\|\s*default\b|\s+is (?:not )?defined)")
IMPORTS = ("ansible.builtin.import_role", "ansible.builtin.include_role")
FILES = ("ansible.builtin.import_tasks", "ansible.builtin.include_tasks")
# Their values are expressions without braces.
CONDITIONS = {"when", "that", "until", "changed_when", "failed_when", "var"}
TEMPLATE = "ansible.builtin.template"


@cache
def read(path: Path) -> Any:
    """Return the content of a file of YAML, None if it is not a file."""
    return yaml.safe_load(path.read_text()) if path.is_file() else None


def variables(role: str, kind: str) -> dict[str, Any]:
    """Return the defaults or the vars of a role."""
    return read(ROOT / "roles" / role / kind / "main.yml") or {}


ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())
OWNER = {name: role for role in ROLES for name in variables(role, "defaults")}


def expressions(value: object, key: str = "") -> Iterator[str]:
    """Yield the expressions in tasks, or in a value of them."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from expressions(part, name)
    elif isinstance(value, list):
        for part in value:
            yield from expressions(part, key)
    elif "{{" in str(value) or "{%" in str(value):
        yield from re.findall(r"\{[{%].*?[%}]\}", str(value), re.DOTALL)
    elif key in CONDITIONS:
        yield str(value)


class Reached:
    """What the tasks of a play reach: roles that it imports, and texts that it evaluates."""

    def __init__(self, play: dict[str, Any], folder: Path) -> None:
        """Follow the tasks and roles of a play."""
        self.roles: set[str] = set()
        self.texts: list[str] = []
        self._seen: set[Path] = set()
        for role in play.get("roles", []):
            self._role(role["role"] if isinstance(role, dict) else role, "main")
        for part in ("pre_tasks", "tasks", "handlers", "post_tasks"):
            self._tasks(play.get(part), folder)

    def names(self) -> set[str]:
        """Return the names in all texts, and in the values of the names of roles' vars."""
        values = {
            name: str(value)
            for role in self.roles
            for kind in ("defaults", "vars")
            for name, value in variables(role, kind).items()
        }
        found: set[str] = set()
        new = {name for text in self.texts for name in NAME.findall(text)}
        while new:
            found |= new
            new = {word for name in new for word in NAME.findall(values.get(name, ""))} - found
        return found

    def _role(self, role: str, entry: str) -> None:
        if "{{" in role:
            return
        self.roles.add(role)
        self._file(ROOT / "roles" / role / "tasks" / f"{entry}.yml")

    def _file(self, path: Path) -> None:
        if path not in self._seen:
            self._seen.add(path)
            self._tasks(read(path), path.parent)

    def _tasks(self, tree: object, folder: Path) -> None:
        self.texts += expressions(tree)
        for task in mappings(tree):
            for key in IMPORTS:
                if key in task:
                    self._role(task[key]["name"], task[key].get("tasks_from", "main"))
            for key in FILES:
                file = task.get(key)
                self._file(folder / (file["file"] if isinstance(file, dict) else file or ""))
            source = task.get(TEMPLATE, {}).get("src", "")
            template = folder.parent / "templates" / source
            if source and template.is_file():
                self.texts.append(template.read_text())


def plays() -> list[Any]:
    """Return each play of each playbook that has tasks, with a name for it."""
    return [
        pytest.param(play, path.parent, id=f"{path.stem}: {play['name']}")
        for path in sorted((ROOT / "playbooks").glob("*.yml"))
        for play in read(path)
        if "hosts" in play
    ]


def set_by(play: dict[str, Any], folder: Path) -> set[str]:
    """Return the variables that the inventories and a play set."""
    names = set(play.get("vars", {}))
    names |= {name for file in play.get("vars_files", []) for name in read(folder / file) or {}}
    for path in ROOT.glob("inventory/**/*.yml"):
        for group in (read(path) or {}).values():
            names |= set(group.get("vars", {}) if isinstance(group, dict) else {})
    return names


@pytest.mark.parametrize(("play", "folder"), plays())
def test_play_has_the_defaults_of_the_variables_that_it_reads(
    play: dict[str, Any], folder: Path
) -> None:
    reached = Reached(play, folder)
    missing = {
        name: OWNER[name]
        for name in reached.names() - set_by(play, folder)
        if name in OWNER and OWNER[name] not in reached.roles
    }

    assert not missing, missing


def test_defaults_of_roles_in_the_inventory_are_read_once_per_run() -> None:
    inventory = (ROOT / "inventory/common.yml").read_text()
    defined = set(re.findall(r"^    (__\w+_defaults):", inventory, re.MULTILINE))
    used = re.findall(r"([\w.]*)(?<!\w)(__\w+_defaults)\.", inventory)
    [facts] = [
        task["ansible.builtin.set_fact"]
        for task in mappings(read(ROOT / "playbooks/configuration.yml"))
        if "ansible.builtin.set_fact" in task
    ]

    assert defined
    assert {name for name in facts if name.endswith("_defaults")} == defined
    assert {prefix for prefix, _ in used} == {"hostvars.localhost."}
