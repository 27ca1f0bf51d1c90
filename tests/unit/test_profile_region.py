"""The region of the operator's profile, and which of several regions is taken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.errors import AnsibleLookupError
from ansible_collections.mlflow_ec2.aws.plugins.lookup.aws_profile_region import profile_region

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """[default]
region = eu-south-1
[profile team]
region = eu-west-3
[profile bare]
output = json
"""
VARIABLES = {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config"
    file.write_text(CONFIG)
    return file


@pytest.mark.parametrize(
    ("profile", "region"),
    [
        ({}, "eu-south-1"),
        ({"AWS_PROFILE": "team"}, "eu-west-3"),
        ({"AWS_DEFAULT_PROFILE": "team"}, "eu-west-3"),
        ({"AWS_PROFILE": "bare"}, ""),
        ({"AWS_PROFILE": "missing"}, ""),
    ],
)
def test_profile_region_is_that_of_the_named_profile(
    config: Path, profile: dict[str, str], region: str
) -> None:
    assert profile_region({"AWS_CONFIG_FILE": str(config), **profile}) == region


def test_profile_region_without_a_file_is_empty(tmp_path: Path) -> None:
    assert profile_region({"AWS_CONFIG_FILE": str(tmp_path / "missing")}) == ""


def test_profile_region_of_a_broken_file_names_the_file(config: Path) -> None:
    config.write_text("region = eu-west-3")

    with pytest.raises(AnsibleLookupError, match=f"AWS_CONFIG_FILE: {config} is not a valid"):
        profile_region({"AWS_CONFIG_FILE": str(config)})


@pytest.mark.parametrize(
    ("exported", "arguments", "region"),
    [
        ({}, [], "us-east-1"),
        ({"AWS_PROFILE": "team"}, [], "eu-west-3"),
        ({"AWS_PROFILE": "team", "AWS_DEFAULT_REGION": "eu-west-2"}, [], "eu-west-2"),
        ({"AWS_DEFAULT_REGION": "eu-west-2", "AWS_REGION": "eu-west-1"}, [], "eu-west-1"),
        ({"AWS_REGION": "eu-west-1"}, ["-e", "aws_region=ca-west-1"], "ca-west-1"),
    ],
    ids=["default", "profile", "AWS_DEFAULT_REGION", "AWS_REGION", "variable"],
)
def test_region_of_the_deployment_is_taken_in_the_documented_order(
    config: Path, exported: dict[str, str], arguments: list[str], region: str
) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    if not exported:
        config.unlink()
    shown = subprocess.run(
        [
            Path(sys.executable).with_name("ansible"),
            *("-i", "inventory/aws", "localhost", "-m", "ansible.builtin.debug"),
            *("-a", "msg=<{{ aws_environment.AWS_REGION }}>", *arguments),
        ],
        cwd=ROOT,
        env={**environment, "AWS_CONFIG_FILE": str(config), **exported},
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"<{region}>" in shown.stdout, shown.stdout + shown.stderr
