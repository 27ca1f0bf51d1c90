"""The teardown: the last file of this directory by its name, so the last tests to run."""

from __future__ import annotations

import itertools
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.policy_mutations import documented, mutate, rows

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


@pytest.mark.parametrize(("section", "role"), [("Host", "host"), ("Function", "metrics")])
def test_role_without_one_of_its_actions_is_refused_a_call(
    deployment: Deployment, section: str, role: str
) -> None:
    """By what host and function have needed until now."""
    name = f"{NAME}-mlflow-{role}-us-east-1"
    policy = policy_of(deployment.aws.client("iam"), name)

    table = mutate(policy, deployment.aws.permissions_of(f"role/{name}"))

    assert rows(table) == documented(section), "\n".join(rows(table))


def policy_of(iam: Any, role: str) -> dict[str, Any]:
    """Return the policies of a role, as one."""
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = attached["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        documents.append(
            iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        )
    statements = [one["Statement"] for one in documents]
    listed = [one if isinstance(one, list) else [one] for one in statements]
    return {"Version": "2012-10-17", "Statement": list(itertools.chain.from_iterable(listed))}


@pytest.mark.usefixtures("network")
def test_destroy_leaves_nothing(deployment: Deployment) -> None:
    play = deployment.aws.play("playbooks/destroy.yml", "-e", f"confirm={NAME}", "-e", "purge=true")

    assert play.returncode == 0, play.output
    assert deployment.aws.resources(NAME) == []
    assert not deployment.directory.exists()


def test_resources_of_neighbours_are_unchanged(deployment: Deployment) -> None:
    assert deployment.neighbours.losses == {}


def test_make_down_leaves_nothing(deployment: Deployment, network: str) -> None:
    down = run_shell(
        "make down", deployment.clone, exported={"LOCAL_AWS_PORT": str(deployment.aws.port)}
    )

    assert down.returncode == 0, down.stdout
    assert "not running" in deployment.aws.command("status").stdout
    assert network not in routes()
