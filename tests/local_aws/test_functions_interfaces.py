"""Interfaces of functions outlive them, and hold their network, as on AWS."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.functions import archive
from tests.local_aws.conftest import FUNCTION_POLICY, create_function_role

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import LocalAws

SOURCE = "def handler(event, context):\n    return event\n"


def interfaces(aws: LocalAws, group: str) -> list[dict[str, Any]]:
    filters = [
        {"Name": "group-id", "Values": [group]},
        {"Name": "description", "Values": ["AWS Lambda VPC ENI-*"]},
    ]
    found: list[dict[str, Any]] = aws.client("ec2").describe_network_interfaces(Filters=filters)[
        "NetworkInterfaces"
    ]
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def group(aws: LocalAws, network: dict[str, Any]) -> str:
    made: str = aws.client("ec2").create_security_group(
        GroupName=f"group {time.monotonic_ns()}", Description="of a test", VpcId=network["vpc"]
    )["GroupId"]
    return made


@pytest.fixture
def role(aws: LocalAws) -> str:
    return create_function_role(aws, f"role-{time.monotonic_ns()}")


def create(aws: LocalAws, name: str, role: str, network: dict[str, Any], group: str) -> None:
    aws.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="code.handler",
        Role=role,
        Code={"ZipFile": archive(SOURCE)},
        VpcConfig={"SubnetIds": network["subnets"], "SecurityGroupIds": [group]},
    )


def test_interface_is_shared_and_outlives_the_last_function(
    aws: LocalAws, network: dict[str, Any], group: str, role: str
) -> None:
    create(aws, "shares-1", role, network, group)
    create(aws, "shares-2", role, network, group)
    found = interfaces(aws, group)
    assert {one["SubnetId"] for one in found} == set(network["subnets"])
    assert len(found) == 2
    assert {(one["InterfaceType"], one["Status"]) for one in found} == {("lambda", "in-use")}

    aws.client("lambda").delete_function(FunctionName="shares-1")
    time.sleep(3)
    assert len(interfaces(aws, group)) == 2
    aws.client("lambda").delete_function(FunctionName="shares-2")
    assert len(interfaces(aws, group)) == 2
    with pytest.raises(ClientError, match="DependencyViolation"):
        aws.client("ec2").delete_security_group(GroupId=group)
    with pytest.raises(ClientError, match="DependencyViolation"):
        aws.client("ec2").delete_subnet(SubnetId=network["subnets"][0])
    wait_until(lambda: not interfaces(aws, group))
    aws.client("ec2").delete_security_group(GroupId=group)


def test_interface_stays_as_long_as_its_role_is_missing(
    aws: LocalAws, network: dict[str, Any], group: str, role: str
) -> None:
    iam, name = aws.client("iam"), role.rpartition("/")[2]
    create(aws, "loses-its-role", role, network, group)
    aws.client("lambda").delete_function(FunctionName="loses-its-role")
    iam.detach_role_policy(RoleName=name, PolicyArn=FUNCTION_POLICY)
    iam.delete_role(RoleName=name)
    time.sleep(4)
    assert len(interfaces(aws, group)) == 2
    # The cure that AWS documents.
    create_function_role(aws, name)
    wait_until(lambda: not interfaces(aws, group))


def test_group_that_another_group_s_rules_name_is_not_deleted(
    aws: LocalAws, network: dict[str, Any], group: str
) -> None:
    ec2 = aws.client("ec2")
    other = ec2.create_security_group(
        GroupName=f"other {time.monotonic_ns()}", Description="other", VpcId=network["vpc"]
    )["GroupId"]
    rule = {
        "IpProtocol": "tcp",
        "FromPort": 5432,
        "ToPort": 5432,
        "UserIdGroupPairs": [{"GroupId": group}],
    }
    ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=[rule])
    with pytest.raises(ClientError, match="DependencyViolation"):
        ec2.delete_security_group(GroupId=group)
    ec2.revoke_security_group_ingress(GroupId=other, IpPermissions=[rule])
    ec2.delete_security_group(GroupId=group)
    ec2.delete_security_group(GroupId=other)
