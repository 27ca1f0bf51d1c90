"""Write docs/variables.md from the argument specs of the roles; with --check only compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "variables.md"
HEAD = """# Variables

Written by `make docs` from `inventory/specs.yml` and `roles/*/meta/argument_specs.yml`. Set them in
`inventory/<where>/group_vars/all/`, or with `-e`. `playbooks/preflight.yml` names every variable
that is misspelt or of another type before anything is made.
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


def deployment() -> str:
    """Return the chapter of what concerns the whole deployment."""
    options = yaml.safe_load((ROOT / "inventory/specs.yml").read_text())
    lines = ["\n## The deployment", "", "Set in the inventories, with these meanings."]
    return "\n".join(lines + table(options)) + "\n"


def section(role: Path) -> str:
    """Return the chapter of one role."""
    spec = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    main = spec["main"]
    lines = [f"\n## {role.name}", "", f"{main['short_description']}."]
    lines += ["", *(markup(text) for text in main.get("description", []))]
    return "\n".join(lines + table(main.get("options") or {})) + "\n"


def main() -> int:
    """Write or compare; return the exit code."""
    roles = sorted(path.parent.parent for path in ROOT.glob("roles/*/meta/argument_specs.yml"))
    text = HEAD + deployment() + "".join(section(role) for role in roles)
    if "--check" in sys.argv[1:]:
        if TARGET.exists() and TARGET.read_text() == text:
            return 0
        print("docs/variables.md is not what the roles say: run `make docs`", file=sys.stderr)
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
