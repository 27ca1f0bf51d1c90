"""Which variables of a run are refused, and what is said of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.mlflow_ec2.aws.plugins.action.settings_check import (
    Rules,
    unknown_name,
    wrong_value,
)

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
RULES = Rules.read(
    ROOT / "roles", ROOT / "playbooks", ROOT / "inventory/specs.yml", ROOT / "inventory/names.yml"
)
OPTIONS, ROLES = RULES.options, RULES.roles
PLAYBOOK = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        # As the playbooks do: none of this is the user's.
        "vars": {"mlflow_public_urls": [], "aws_vpc_allowed_cidrs": ["192.0.2.1/32"]},
        "roles": [{"role": "aws_rds", "when": False}],
        "tasks": [
            {
                "mlflow_ec2.aws.settings_check": {
                    "roles": str(ROOT / "roles"),
                    "playbooks": str(ROOT / "playbooks"),
                    "specs": str(ROOT / "inventory/specs.yml"),
                    "names": str(ROOT / "inventory/names.yml"),
                }
            }
        ],
    }
]


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of inventory/local, for files of a user's own."""
    copy = tmp_path_factory.mktemp("settings") / "inventory"
    shutil.copytree(ROOT / "inventory/local", copy)
    return copy


def check(inventory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Check what an inventory and a command line set, in a play that sets variables itself."""
    playbook = inventory.parent / "playbook.yml"
    playbook.write_text(json.dumps(PLAYBOOK))
    return subprocess.run(
        [BIN / "ansible-playbook", "-i", inventory, playbook, *arguments],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


def test_settings_check_of_an_unchanged_inventory_passes(inventory: Path) -> None:
    checked = check(inventory)

    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("file", "arguments"),
    [
        # Sorts before the files of the project, and after them.
        pytest.param("group_vars/all/a.yml", [], id="group_vars"),
        pytest.param("group_vars/all/z.yml", [], id="group_vars-last"),
        pytest.param("group_vars/mlflow.yml", [], id="group-of-a-host-to-come"),
        pytest.param("host_vars/localhost.yml", [], id="host_vars"),
        pytest.param("../extra.yml", ["-e", "@{}"], id="command-line"),
    ],
)
def test_settings_check_refuses_ineffective_variables_of_any_source(
    inventory: Path, file: str, arguments: list[str]
) -> None:
    path = inventory / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "mlflow_public_urls: [mlflow.test]\nmlflow_database_pool_size: 3\nmlflow_prot: 1\n"
    )
    try:
        checked = check(inventory, *(argument.format(path) for argument in arguments))
    finally:
        path.unlink()

    assert checked.returncode == 2, checked.stdout
    assert "mlflow_public_urls: is set by the playbooks. Set mlflow_names instead" in checked.stdout
    assert "mlflow_database_pool_size: is now mlflow_database_connections." in checked.stdout
    assert "mlflow_prot: there is no such variable. Is mlflow_port meant?" in checked.stdout
    assert "aws_vpc_allowed_cidrs" not in checked.stdout


def test_value_of_any_inventory_file_overrides_the_shared_default(
    inventory: Path,
) -> None:
    # Names of files that sort before those of the project.
    file = inventory / "group_vars/all/a.yml"
    file.write_text("tls_proxy_port: many\n")
    try:
        checked = check(inventory)
    finally:
        file.unlink()

    assert "tls_proxy_port: argument 'tls_proxy_port' is of type str" in checked.stdout


@pytest.mark.parametrize("name", sorted(RULES.wired))
def test_wired_variable_is_refused_with_its_alternative(name: str) -> None:
    [problem] = RULES.wrong_name(name)

    assert problem.startswith(f"{name}: is set by the playbooks. ")
    # What it names is public, or a playbook.
    advice = problem.partition("playbooks. ")[2]
    if advice.endswith(" instead."):
        named = re.findall(r"\b[a-z]+(?:_[a-z0-9]+)*\b(?=.* instead\.)", advice)
        assert set(named) & (set(RULES.public) | {"upgrade"}), advice


@pytest.mark.parametrize("name", sorted(RULES.public))
def test_public_variable_is_not_refused(name: str) -> None:
    assert RULES.wrong_name(name) == []


@pytest.mark.parametrize("name", sorted(RULES.renamed))
def test_old_name_is_refused_with_the_new_one(name: str) -> None:
    assert name not in RULES.options
    assert RULES.renamed[name] in RULES.public
    assert RULES.wrong_name(name) == [f"{name}: is now {RULES.renamed[name]}. Rename it."]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mlflow_tls", "perhaps", "boolean"),
        ("mlflow_workers", "many", "int"),
        ("aws_iam_mode", "borrow", "create, existing"),
        ("allowed_cidrs", "203.0.113.7/32", """-e '{"allowed_cidrs": [...]}'"""),
        ("mlflow_environment", ["A=1"], """-e '{"mlflow_environment": {...}}'"""),
        ("aws_vpc_subnets", [{"name": "public-a"}], "cidr, public, zone"),
        ("aws_vpc_host_ports", [22, "ssh"], "int"),
        ("deployment", "demo\n", r"'demo\n'"),
        ("aws_vpc_cidr", "10.0.0.0/16\n", "Remove it."),
        ("aws_ec2_instance_type", " t3.medium", "Remove it."),
        ("allowed_cidrs", ["192.0.2.1/32", "192.0.2.2/32\r\n"], "Remove it."),
        ("mlflow_names", ["mlflow.test\t"], "Remove it."),
        ("mlflow_access_users", [{"name": "reader\u00a0"}], "Remove it."),
        ("mlflow_environment", {"NAME": "value\n"}, "Remove it."),
    ],
)
def test_wrong_value_is_named_with_its_cure(name: str, value: object, message: str) -> None:
    problems = wrong_value(name, value, OPTIONS[name])

    assert len(problems) == 1
    assert re.match(rf"{name}[]\w.[]*: ", problems[0])
    assert message in problems[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [("mlflow_tls", "false"), ("mlflow_workers", "3"), ("aws_vpc_host_ports", [22])],
)
def test_value_as_the_command_line_gives_it_passes(name: str, value: object) -> None:
    assert wrong_value(name, value, OPTIONS[name]) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("mlflow_tsl", "mlflow_tls"),
        ("alowed_cidrs", "allowed_cidrs"),
        ("aws_rds_engine_versoin", "aws_rds_engine_version"),
        ("aws_rds_colour", "docs/variables.md"),
    ],
)
def test_misspelt_name_is_refused_with_the_nearest_one(name: str, meant: str) -> None:
    problems = unknown_name(name, set(OPTIONS), ROLES)

    assert len(problems) == 1
    assert meant in problems[0]


@pytest.mark.parametrize(
    "name",
    [
        "ansible_user",
        "inventory_hostname",
        "playbook_dir",
        "team",
        "aws_vpc",
        "groups",
        "__aws_ec2_name",
    ],
)
def test_variables_of_other_software_are_accepted(name: str) -> None:
    assert unknown_name(name, set(OPTIONS), ROLES) == []
