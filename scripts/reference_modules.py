"""The reference page of our Ansible modules, from their DOCUMENTATION and RETURN."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = ROOT / "collections/ansible_collections/mlflow_ec2/aws/plugins"
MODULES = PLUGINS / "modules"
OURS = "mlflow_ec2.aws."
HEAD = """# Modules

Collection `mlflow_ec2.aws`. Written by `make docs` from the documentation of its modules in
`collections/ansible_collections/mlflow_ec2/aws/plugins/modules/`.
`ansible-doc mlflow_ec2.aws.<name>` shows the same, with examples.
"""
SHARED = (
    "Takes the parameters of every module of `amazon.aws` as well, such as `region` and `profile`."
)


def constants(module: Path) -> dict[str, Any]:
    """Return DOCUMENTATION and RETURN of a module or a fragment, read as YAML."""
    return {
        target.id: yaml.safe_load(str(node.value.value))
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in ("DOCUMENTATION", "RETURN")
    }


def markup(text: str | list[str]) -> str:
    """Turn Ansible's markup into Markdown, on one line of a table."""
    joined = " ".join(text) if isinstance(text, list) else text
    joined = re.sub(r"\b(?:[OVCIEMP]|RV)\(([^)]*)\)", r"`\1`", " ".join(joined.split()))
    joined = re.sub(r"\bB\(([^)]*)\)", r"**\1**", joined)
    joined = re.sub(r"\bL\(([^,]*),\s*([^)]*)\)", r"[\1](\2)", joined)
    joined = re.sub(r"\bU\(([^)]*)\)", r"<\1>", joined)
    return joined.replace("|", "\\|")


def flat(options: dict[str, Any], inner: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Give options by their full names, those inside others after them."""
    for name, option in options.items():
        yield prefix + name, option
        yield from flat(option.get(inner) or {}, inner, f"{prefix}{name}.")


def kind(option: dict[str, Any]) -> str:
    """Return the type of an option or of a value, with that of its elements."""
    elements = option.get("elements")
    return option.get("type", "str") + (f" of {elements}" if elements else "")


def default(option: dict[str, Any]) -> str:
    """Return the default of an option as YAML writes it."""
    if option.get("required"):
        return "*required*"
    if "default" not in option:
        return ""
    text = yaml.safe_dump(option["default"], default_flow_style=True, width=1000)
    text = text.removesuffix("...\n").strip()
    return f"`{text}`"


def choices(option: dict[str, Any]) -> str:
    """Return a sentence with the values that an option takes, if only some are."""
    listed = ", ".join(f"`{value}`" for value in option.get("choices", []))
    return f" One of {listed}." if listed else ""


def section(module: Path) -> str:
    """Return the chapter of one module."""
    found = constants(module)
    documentation = found["DOCUMENTATION"]
    lines = [f"\n## {module.stem}", "", f"{markup(documentation['short_description'])}.", ""]
    lines += [markup(documentation["description"])]
    own_options = documentation.get("options") or {}
    fragments = documentation.get("extends_documentation_fragment", [])
    for fragment in (name for name in fragments if name.startswith(OURS)):
        file = PLUGINS / f"doc_fragments/{fragment.removeprefix(OURS)}.py"
        own_options = constants(file)["DOCUMENTATION"]["options"] | own_options
    if any(not name.startswith(OURS) for name in fragments):
        lines += ["", SHARED]
    options = list(flat(own_options, "suboptions"))
    if options:
        lines += ["", "| parameter | type | default | meaning |", "|---|---|---|---|"]
    for name, option in options:
        meaning = markup(option["description"]) + choices(option)
        lines.append(f"| `{name}` | {kind(option)} | {default(option)} | {meaning} |")
    values = list(flat(found.get("RETURN") or {}, "contains"))
    if values:
        lines += ["", "| returns | type | when | meaning |", "|---|---|---|---|"]
    for name, value in values:
        when = markup(value.get("returned", ""))
        lines.append(f"| `{name}` | {kind(value)} | {when} | {markup(value['description'])} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """Return the text of the page."""
    return HEAD + "".join(section(module) for module in sorted(MODULES.glob("*.py")))
