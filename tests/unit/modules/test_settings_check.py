"""Which variables of a run are refused, and what is said of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plugins.action.settings_check import known_options, unknown_name, wrong_value

ROOT = Path(__file__).resolve().parents[3]
OPTIONS = known_options(ROOT / "roles", ROOT / "inventory/specs.yml")
ROLES = {path.name for path in (ROOT / "roles").iterdir()}


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
def test_misspelt_name_is_told_what_is_meant(name: str, meant: str) -> None:
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
def test_names_of_others_pass(name: str) -> None:
    assert unknown_name(name, set(OPTIONS), ROLES) == []
