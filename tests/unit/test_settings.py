"""Each variable is public, and only the user sets it, or wired, and no page lists it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ansible_collections.mlflow_ec2.aws.plugins.action.settings_check import (
    Rules,
    mappings,
    wired_variables,
)

from tests.settings import table

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
NAMES = yaml.safe_load((ROOT / "inventory/names.yml").read_text())
RULES = Rules.read(
    ROOT / "roles", ROOT / "playbooks", ROOT / "inventory/specs.yml", ROOT / "inventory/names.yml"
)
LISTED = re.findall(r"^\| `(\w+)`", (ROOT / "docs/variables.md").read_text(), re.MULTILINE)
# What the inventories set for all deployments, and inventory/local for its own.
SHARED = yaml.safe_load((ROOT / "inventory/common.yml").read_text())["all"]["vars"]
LOCAL = {
    name: value
    for file in (ROOT / "inventory/local/group_vars/all").iterdir()
    for name, value in yaml.safe_load(file.read_text()).items()
}
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
    assert set(LISTED) & wired_variables(ROOT / "playbooks", ROOT / "roles") == set()


def test_page_lists_each_public_variable_once() -> None:
    assert sorted(LISTED) == sorted(RULES.public)


def test_each_wired_variable_has_a_hint_and_each_hint_a_wired_variable() -> None:
    wired = wired_variables(ROOT / "playbooks", ROOT / "roles")

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

    # playbooks/configuration.yml gives it its own value, evaluated.
    assert facts & set(RULES.public) == {"aws_environment"}


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


@pytest.mark.parametrize("name", sorted(RULES.public))
def test_public_variable_has_a_row_with_a_value_of_its_own(name: str) -> None:
    row = table.ROWS[name]
    if isinstance(row, table.Elsewhere):
        path, _, function = row.test.partition("::")
        assert f"def {function}(" in (ROOT / path).read_text()
    else:
        other = isinstance(row, table.Argument) and row.other
        value = (table.OTHER_VALUES if other else table.VALUES)[name]
        if name in LOCAL:
            assert value != LOCAL[name]
        else:
            assert value not in [RULES.public[name].get("default"), SHARED.get(name)]


def test_rows_and_values_of_the_deployment_are_of_public_variables() -> None:
    assert set(table.ROWS) == set(RULES.public)
    assert table.VALUES.keys() | table.OTHER_VALUES.keys() <= set(RULES.public)


# Names, port, whether there is TLS and its mode, and the URLs that follow.
URLS = {
    "address": ([], 5000, True, "internal", ["https://192.0.2.1:5000"]),
    "port": ([], 5443, True, "internal", ["https://192.0.2.1:5443"]),
    "port-of-scheme": (["a.test"], 443, True, "acme", ["https://a.test"]),
    "names": (
        ["a.test", "b.test"],
        5000,
        True,
        "internal",
        ["https://a.test:5000", "https://b.test:5000", "https://192.0.2.1:5000"],
    ),
    "plain": ([], 5000, False, "internal", ["http://192.0.2.1:5000"]),
    "plain-port-of-scheme": ([], 80, False, "internal", ["http://192.0.2.1"]),
    "plain-port-of-tls": ([], 443, False, "internal", ["http://192.0.2.1:443"]),
}


def test_urls_follow_names_port_and_mlflow_tls(tmp_path: Path) -> None:
    found = tmp_path / "urls.json"
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(ROOT / "playbooks/vars/address.yml")],
        "tasks": [
            {"ansible.builtin.set_fact": {"aws_ec2": {"public_ip": "192.0.2.1"}, "urls": {}}},
            *(
                {
                    "ansible.builtin.set_fact": {
                        "urls": f"{{{{ urls | combine({{'{case}': mlflow_public_urls}}) }}}}"
                    },
                    "vars": {
                        "mlflow_names": names,
                        "tls_proxy_port": port,
                        "mlflow_tls": tls,
                        "mlflow_tls_mode": mode,
                    },
                }
                for case, (names, port, tls, mode, _) in URLS.items()
            ),
            {
                "ansible.builtin.copy": {
                    "content": "{{ urls | to_json }}",
                    "dest": str(found),
                    "mode": "0600",
                }
            },
        ],
    }
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(json.dumps([play]))
    done = subprocess.run(
        [BIN / "ansible-playbook", "-i", ROOT / "inventory/local", playbook],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(found.read_text()) == {case: row[-1] for case, row in URLS.items()}


def sources() -> Iterator[Path]:
    """Yield the files of playbooks, inventories and roles that say what is done."""
    patterns = ["playbooks/**/*.yml", "playbooks/templates/*", "inventory/**/*.yml"]
    patterns += [f"roles/*/{folder}/*" for folder in ("defaults", "handlers", "tasks", "vars")]
    for pattern in [*patterns, "roles/*/templates/*"]:
        yield from ROOT.glob(pattern)


@pytest.mark.parametrize("value", SOURCES)
def test_value_is_defined_once(value: str) -> None:
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
    # Keys of facts and names of secrets are not variables; a dot or a letter is before them.
    text = re.sub(r"C\(\w+\)", "", file.read_text())
    names = set(re.findall(r"(?<![.\w])mlflow_\w+", text))

    assert names & set(RULES.options) == set()


def plays() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each play, with the name of its file."""
    for file in sorted(ROOT.glob("playbooks/*.yml")):
        for play in yaml.safe_load(file.read_text()):
            yield file.name, play


@pytest.mark.parametrize(
    ("file", "play"),
    [
        pytest.param(file, play, id=f"{file}-{play['name']}")
        for file, play in plays()
        if "hosts" in play
    ],
)
def test_play_with_roles_of_aws_sets_their_variables_of_the_product(
    file: str, play: dict[str, Any]
) -> None:
    text = yaml.safe_dump(play)
    if play["hosts"] == "localhost" and re.search(r"name: aws_|role: aws_|tasks/find\.yml", text):
        assert "vars/aws.yml" in play.get("vars_files", []), file
