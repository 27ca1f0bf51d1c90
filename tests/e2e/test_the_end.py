"""The way back: the last file of this directory, by its name and so in the order of tests."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from .conftest import NAME
from .shell import run_shell

if TYPE_CHECKING:
    from .conftest import Deployment


def routes() -> str:
    """Where this machine sends what."""
    return subprocess.run(["ip", "route"], text=True, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def network(deployment: Deployment) -> str:
    """The addresses of the deployment, which this machine has while it is there."""
    vpcs = deployment.aws.client("ec2").describe_vpcs(
        Filters=[{"Name": "tag:Deployment", "Values": [NAME]}]
    )["Vpcs"]
    network = str(vpcs[0]["CidrBlock"])
    assert network in routes()
    return network


@pytest.mark.usefixtures("network")
def test_destroy_leaves_nothing(deployment: Deployment) -> None:
    play = deployment.aws.play("playbooks/destroy.yml", "-e", f"confirm={NAME}", "-e", "purge=true")

    assert play.returncode == 0, play.output
    assert deployment.aws.resources(NAME) == []
    assert not deployment.directory.exists()


def test_make_down_leaves_nothing(deployment: Deployment, network: str) -> None:
    down = run_shell(
        "make down", deployment.clone, exported={"LOCAL_AWS_PORT": str(deployment.aws.port)}
    )

    assert down.returncode == 0, down.stdout
    assert "not running" in deployment.aws.command("status").stdout
    assert network not in routes()
