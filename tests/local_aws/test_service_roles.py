"""Functions have the rights of their roles, which have to trust Lambda."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.functions import archive, trusting
from tests.local_aws.conftest import create_function_role, wait_for_function

if TYPE_CHECKING:
    from tests.conftest import LocalAws

PRINTS = "def handler(event, context):\n    print('printed')\n"
STATEMENT = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
ALL = json.dumps({"Version": "2012-10-17", "Statement": [STATEMENT]})


def create(aws: LocalAws, name: str, role: str, **options: Any) -> None:
    aws.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="code.handler",
        Role=role,
        Code={"ZipFile": archive(PRINTS)},
        **options,
    )


def create_role(aws: LocalAws, service: str) -> tuple[str, str]:
    name = f"role-{time.monotonic_ns()}"
    role = aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trusting(service))[
        "Role"
    ]
    return name, role["Arn"]


def test_function_with_a_role_that_trusts_another_service_is_refused(aws: LocalAws) -> None:
    _, role = create_role(aws, "ec2")

    with pytest.raises(ClientError, match="cannot be assumed by Lambda") as caught:
        create(aws, "distrusted", role)

    assert caught.value.response["Error"]["Code"] == "InvalidParameterValueException"


def test_function_in_a_network_requires_rights_for_interfaces(
    aws: LocalAws, network: dict[str, Any]
) -> None:
    _, role = create_role(aws, "lambda")
    config = {"SubnetIds": network["subnets"], "SecurityGroupIds": [network["group"]]}

    with pytest.raises(ClientError, match="does not have permissions to call CreateNetwork"):
        create(aws, "unconnected", role, VpcConfig=config)


def test_rights_for_interfaces_are_those_in_the_region_of_the_function(
    aws: LocalAws, network: dict[str, Any]
) -> None:
    name, role = create_role(aws, "lambda")
    statement = {
        "Effect": "Allow",
        "Action": "ec2:*",
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:RequestedRegion": "us-west-2"}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    aws.client("iam").put_role_policy(RoleName=name, PolicyName="ec2", PolicyDocument=document)
    ec2 = aws.client("ec2", region="us-west-2")
    vpc = ec2.create_vpc(CidrBlock="10.216.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.216.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="all", Description="all", VpcId=vpc)["GroupId"]
    here = {"SubnetIds": network["subnets"], "SecurityGroupIds": [network["group"]]}

    with pytest.raises(ClientError, match="does not have permissions to call CreateNetwork"):
        create(aws, "refused", role, VpcConfig=here)
    there = aws.client("lambda", region="us-west-2")
    there.create_function(
        FunctionName="elsewhere",
        Runtime="python3.13",
        Handler="code.handler",
        Role=role,
        Code={"ZipFile": archive(PRINTS)},
        VpcConfig={"SubnetIds": [subnet], "SecurityGroupIds": [group]},
    )
    there.delete_function(FunctionName="elsewhere")


def test_change_of_a_function_to_a_role_without_rights_is_refused(aws: LocalAws) -> None:
    client = aws.client("lambda")
    create(aws, "changes", create_function_role(aws, f"role-{time.monotonic_ns()}"))
    wait_for_function(client, "changes")
    _, other = create_role(aws, "ec2")
    try:
        with pytest.raises(ClientError, match="cannot be assumed by Lambda"):
            client.update_function_configuration(FunctionName="changes", Role=other)
    finally:
        client.delete_function(FunctionName="changes")


def test_log_of_a_function_is_written_only_with_the_rights_of_its_role(aws: LocalAws) -> None:
    client, logs = aws.client("lambda"), aws.client("logs")
    name, role = create_role(aws, "lambda")
    create(aws, "silent", role)
    wait_for_function(client, "silent")

    def groups() -> list[Any]:
        client.invoke(FunctionName="silent")
        found: list[Any] = logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/silent")[
            "logGroups"
        ]
        return found

    without = groups()
    aws.client("iam").put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=ALL)
    allowed = groups()
    client.delete_function(FunctionName="silent")

    assert without == []
    assert len(allowed) == 1
