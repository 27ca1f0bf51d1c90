"""Host, database and function reach each other as they need, and nothing else."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from local_aws.machine.podman import Podman
from local_aws.settings import Settings
from tests.members import Member, find, router

from .conftest import NAME

if TYPE_CHECKING:
    from .conftest import Deployment

SSH, MLFLOW, POSTGRESQL, DISCARD = 22, 5000, 5432, 9
NAMES = {
    "host": "i-",
    "database": f"rds-{NAME}-mlflow-",
    "function": f"lambda-{NAME}-mlflow-metrics-",
}


@pytest.fixture(scope="module")
def members(deployment: Deployment) -> dict[str, Member]:
    """The three, while the function is warm."""
    assert deployment.scrape().status_code == 200
    podman = Podman(Settings(data_dir=deployment.aws.directory))
    return {name: find(podman, prefix) for name, prefix in NAMES.items()}


@pytest.mark.parametrize("name", ["host", "function"])
def test_member_that_needs_the_database_reaches_it(members: dict[str, Member], name: str) -> None:
    assert members[name].reaches(members["database"].address, POSTGRESQL)


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        ("host", "database", SSH),
        ("host", "function", DISCARD),
        ("function", "host", SSH),
        ("function", "host", MLFLOW),
        ("function", "database", SSH),
        ("database", "host", SSH),
        ("database", "host", MLFLOW),
        ("database", "function", DISCARD),
    ],
)
def test_member_without_a_rule_is_refused(
    members: dict[str, Member], source: str, target: str, port: int
) -> None:
    assert members[source].gets_nothing(members[target].address, port)


@pytest.mark.parametrize(
    ("name", "port"), [("host", DISCARD), ("function", 443), ("database", 443)]
)
def test_member_reaches_nothing_outside_that_it_does_not_need(
    deployment: Deployment, members: dict[str, Member], name: str, port: int
) -> None:
    [vpc] = deployment.aws.client("ec2").describe_vpcs(
        Filters=[{"Name": "tag:Deployment", "Values": [deployment.outputs["deployment"]]}]
    )["Vpcs"]
    assert members[name].gets_nothing(router(vpc["CidrBlock"]), port)


# Tests that read the database open a door to its port.
@pytest.mark.parametrize(("name", "port"), [("host", SSH), ("host", MLFLOW), ("database", SSH)])
def test_control_machine_reaches_no_private_address(
    members: dict[str, Member], name: str, port: int
) -> None:
    with pytest.raises(OSError, match="unreachable"):
        socket.create_connection((members[name].address, port), timeout=5)
