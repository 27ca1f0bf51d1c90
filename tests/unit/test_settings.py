"""Each variable is public, and only the user sets it, or wired, and no page lists it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from plugins.action.settings_check import Rules, mappings, wired_variables

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
NAMES = yaml.safe_load((ROOT / "inventory/names.yml").read_text())
RULES = Rules.read(
    ROOT / "roles", ROOT / "playbooks", ROOT / "inventory/specs.yml", ROOT / "inventory/names.yml"
)
LISTED = re.findall(r"^\| `(\w+)`", (ROOT / "docs/variables.md").read_text(), re.MULTILINE)
# Options of each entry point of each role, and those of no role.
SPECIFICATIONS = [
    entry_point.get("options") or {}
    for file in ROOT.glob("roles/*/meta/argument_specs.yml")
    for entry_point in yaml.safe_load(file.read_text())["argument_specs"].values()
] + [yaml.safe_load((ROOT / "inventory/specs.yml").read_text())]
# The one place that each value is from.
SOURCES = {
    "5000": "roles/tls_proxy/defaults/main.yml",
    "5001": "roles/mlflow/defaults/main.yml",
    "9100": "roles/host/defaults/main.yml",
    "9102": "roles/mlflow/defaults/main.yml",
    "mlflow_metrics": "roles/mlflow_database/defaults/main.yml",
    "admin": "roles/mlflow/defaults/main.yml",
}
# The same words where they mean something else.
OTHERS = {
    # Of the image of the host.
    ("roles/aws_ec2/defaults/main.yml", "admin"),
    # Whatever a role that is used alone has behind it.
    ("roles/tls_proxy/defaults/main.yml", "5001"),
    # Caddy's own endpoint for its administration.
    ("roles/tls_proxy/templates/Caddyfile.j2", "admin"),
    # A key of mlflow_access_users.
    ("roles/mlflow_access/tasks/preflight.yml", "admin"),
    ("roles/mlflow_access/tasks/users.yml", "admin"),
}


def test_variables_that_playbooks_set_are_found() -> None:
    assert {"mlflow_public_urls", "aws_rds_purge", "outputs_directory"} <= set(RULES.wired)


def test_playbooks_set_no_variable_of_the_page() -> None:
    assert set(LISTED) & wired_variables(ROOT / "playbooks") == set()


def test_page_lists_each_public_variable_once() -> None:
    assert sorted(LISTED) == sorted(RULES.public)


def test_each_wired_variable_has_a_hint_and_each_hint_a_wired_variable() -> None:
    wired = wired_variables(ROOT / "playbooks")

    assert wired & set(RULES.options) - set(NAMES["wired"]) == set()
    assert set(NAMES["wired"]) - wired == set()


def test_set_fact_of_playbooks_and_roles_sets_no_public_variable() -> None:
    files = [*ROOT.glob("playbooks/**/*.yml"), *ROOT.glob("roles/*/tasks/*.yml")]
    facts = {
        name
        for file in files
        for task in mappings(yaml.safe_load(file.read_text()))
        for name in task.get("ansible.builtin.set_fact") or {}
    }

    assert facts & set(RULES.public) == set()


def test_variables_of_roles_overrule_no_public_variable() -> None:
    # They have precedence over the inventory as well.
    overruled = {
        (file.parent.parent.name, name)
        for file in ROOT.glob("roles/*/vars/*.yml")
        for name in yaml.safe_load(file.read_text()) or {}
        if name in RULES.public
    }

    assert overruled == set()


@pytest.mark.parametrize("name", sorted(RULES.public))
def test_public_variable_has_one_specification(name: str) -> None:
    found = [
        {key: value for key, value in options[name].items() if key != "description"}
        for options in SPECIFICATIONS
        if name in options
    ]

    assert all(option == found[0] for option in found)


def sources() -> Iterator[Path]:
    """Yield the files of playbooks, inventories and roles that say what is done."""
    patterns = ["playbooks/**/*.yml", "playbooks/templates/*", "inventory/**/*.yml"]
    patterns += [f"roles/*/{folder}/*" for folder in ("defaults", "handlers", "tasks", "vars")]
    for pattern in [*patterns, "roles/*/templates/*"]:
        yield from ROOT.glob(pattern)


@pytest.mark.parametrize("value", SOURCES)
def test_value_has_one_source(value: str) -> None:
    # Comments explain, addresses of documentation are examples, keys of a dictionary are names.
    word = re.compile(rf"(?<![\w.{{-]){value}(?![\w-])(?!: )(?!`)")
    places = {
        str(file.relative_to(ROOT))
        for file in sources()
        for line in file.read_text().splitlines()
        if word.search(re.sub(r"(^|\s)#.*|https://203\.0\.113\.7:5000", "", line))
    }

    assert places - {place for place, other in OTHERS if other == value} == {SOURCES[value]}


@pytest.mark.parametrize(
    "file", sorted(ROOT.glob("roles/aws_*/**/*.yml")), ids=lambda file: str(file.relative_to(ROOT))
)
def test_roles_of_aws_name_no_variable_of_mlflow(file: Path) -> None:
    # Keys of facts and names of secrets are told from variables by what is before them.
    text = re.sub(r"C\(\w+\)", "", file.read_text())
    names = set(re.findall(r"(?<![.\w])mlflow_\w+", text))

    assert names & set(RULES.options) == set()


def plays() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each play, with the name of its file."""
    for file in sorted(ROOT.glob("playbooks/*.yml")):
        for play in yaml.safe_load(file.read_text()):
            yield file.name, play


@pytest.mark.parametrize(
    ("file", "play"), [(file, play) for file, play in plays() if "hosts" in play], ids=str
)
def test_play_with_roles_of_aws_tells_them_of_the_product(file: str, play: dict[str, Any]) -> None:
    text = yaml.safe_dump(play)
    if play["hosts"] == "localhost" and re.search(r"name: aws_|role: aws_|tasks/find\.yml", text):
        assert "vars/aws.yml" in play.get("vars_files", []), file
