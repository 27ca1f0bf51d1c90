"""Write docs/variables.md from the public variables of the roles; with --check only compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "collections"))
from ansible_collections.mlflow_ec2.aws.plugins.action.settings_check import Rules  # noqa: E402 - not an installed package

TARGET = ROOT / "docs" / "variables.md"
HEAD = """# Variables

Written by `make docs` from `inventory/specs.yml` and `roles/*/meta/argument_specs.yml`. Set them in
`inventory/<where>/group_vars/all/deployment.yml`, or with `-e`. Every playbook names each variable
that is misspelt, renamed or of another type before it does anything.

Variables that the playbooks set themselves are not listed here: they are refused, with the one
to set instead. Those who use a role alone find them in its `meta/argument_specs.yml`.
"""


def markup(text: str) -> str:
    """Turn Ansible's C(...) into Markdown's code."""
    parts = text.split("C(")
    return parts[0] + "".join(f"`{part.replace(')', '`', 1)}" for part in parts[1:])


def default(option: dict[str, Any]) -> str:
    """Return the text of the column of defaults."""
    if option.get("required"):
        return "*required*"
    if "default" not in option:
        return ""
    value = option["default"]
    shown = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()
    return f"`{shown}`"


def table(options: dict[str, dict[str, Any]]) -> list[str]:
    """Return the lines of a table of variables, none without variables."""
    lines = ["", "| variable | type | default | meaning |", "|---|---|---|---|"] if options else []
    for name, option in options.items():
        text = option["description"]
        meaning = markup(" ".join(text) if isinstance(text, list) else text).replace("|", "\\|")
        lines.append(f"| `{name}` | {option['type']} | {default(option)} | {meaning} |")
    return lines


def deployment(options: dict[str, dict[str, Any]]) -> str:
    """Return the chapter of what concerns the whole deployment, with the inventories' defaults."""
    shared = yaml.safe_load((ROOT / "inventory/common.yml").read_text())["all"]["vars"]
    options = {
        name: {**option, "default": shared[name]}
        if name in shared and "{{" not in str(shared[name]) and "{%" not in str(shared[name])
        else option
        for name, option in options.items()
    }
    lines = ["\n## The deployment", "", "Set in the inventories, with these meanings."]
    return "\n".join(lines + table(options)) + "\n"


def section(role: Path, options: dict[str, dict[str, Any]]) -> str:
    """Return the chapter of one role, nothing if no variable of it is public."""
    if not options:
        return ""
    spec = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    main = spec["main"]
    lines = [f"\n## {role.name}", "", f"{main['short_description']}."]
    lines += ["", *(markup(text) for text in main.get("description", []))]
    return "\n".join(lines + table(options)) + "\n"


def owner(name: str, roles: list[Path]) -> Path | None:
    """Return the role with the longest name that a variable begins with."""
    owners = [role for role in roles if name.startswith(f"{role.name}_")]
    return max(owners, key=lambda role: len(role.name), default=None)


def text() -> str:
    """Return the page."""
    roles = sorted(path.parent.parent for path in ROOT.glob("roles/*/meta/argument_specs.yml"))
    specs = ROOT / "inventory/specs.yml"
    rules = Rules.read(ROOT / "roles", ROOT / "playbooks", specs, ROOT / "inventory/names.yml")
    of_all = yaml.safe_load(specs.read_text())
    chapters = [deployment({name: rules.public[name] for name in of_all})]
    for role in roles:
        options = {
            name: option
            for name, option in rules.public.items()
            if name not in of_all and owner(name, roles) == role
        }
        chapters.append(section(role, options))
    return HEAD + "".join(chapters)


def main() -> int:
    """Write or compare; return the exit code."""
    wanted = text()
    if "--check" in sys.argv[1:]:
        if TARGET.exists() and TARGET.read_text() == wanted:
            return 0
        print("docs/variables.md is not what the roles say: run `make docs`", file=sys.stderr)
        return 1
    TARGET.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
