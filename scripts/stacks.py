"""The two supported stacks of Ansible. The lock requirements/control.txt has both.

`table` writes them into the documentation; `others` names the Pythons of the stack that the
running Python does not have.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "CONTRIBUTING.md")
HEADER = "| Python | Ansible | ansible-core | amazon.aws | systems |\n|---|---|---|---|---|\n"


@dataclass(frozen=True)
class Stack:
    """What one range of Python's versions installs.

    Attributes
    ----------
    pythons
        Versions that `make stacks` looks for, the preferred one first.
    range
        The versions in words.
    systems
        Systems with such a Python.
    amazon_aws
        The version of the collection, which is a part of the package ansible.
    """

    pythons: tuple[str, ...]
    range: str
    systems: str
    amazon_aws: str


STACKS = (
    Stack(("3.11",), "3.11", "Debian 12", "10.1.2"),
    Stack(("3.13", "3.12"), "3.12 or newer", "Debian 13, Ubuntu 24.04", "11.4.0"),
)


def pins(lock: str, python: str) -> dict[str, str]:
    """Return the versions that a lock installs on Linux, by package.

    Parameters
    ----------
    lock
        Its name in requirements/, without suffix.
    python
        Python's version, such as 3.13.
    """
    text = (ROOT / f"requirements/{lock}.txt").read_text()
    marked = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    found: dict[str, str] = {}
    for line in re.findall(r"^([a-zA-Z0-9][^\\\n]*?) \\$", text, re.MULTILINE):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(marked):
            if requirement.name in found:
                raise ValueError(f"{lock}.txt pins {requirement.name} twice for Python {python}")
            found[requirement.name] = str(requirement.specifier).removeprefix("==")
    return found


def table() -> str:
    """Return the stacks as a table of Markdown."""
    rows = []
    for stack in STACKS:
        pinned = pins("control", stack.pythons[0])
        cells = (pinned["ansible"], pinned["ansible-core"], stack.amazon_aws, stack.systems)
        rows.append(f"| {stack.range} | {' | '.join(cells)} |\n")
    return HEADER + "".join(rows)


def page(text: str) -> str:
    """Return a page with its table renewed."""
    pattern = re.escape(HEADER) + r"(\|.*\n)+"
    renewed, count = re.subn(pattern, lambda _: table(), text)
    if count != 1:
        raise ValueError("the page has no table of the stacks, or more than one")
    return renewed


def others(version: str) -> list[str]:
    """Return the names of the Pythons of the stack that a version does not have."""
    old, newest = STACKS
    other = newest if version in old.pythons else old
    return [f"python{python}" for python in other.pythons]


def main(arguments: list[str]) -> int:
    """Run a command; return the exit code."""
    if arguments == ["others"]:
        print(*others(f"{sys.version_info.major}.{sys.version_info.minor}"))
    elif arguments == ["table"]:
        for name in PAGES:
            path = ROOT / name
            path.write_text(page(path.read_text()))
    else:
        print("usage: stacks.py others|table", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
