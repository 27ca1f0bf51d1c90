"""Departure: a dry run of EC2 changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local_aws import profile

if TYPE_CHECKING:
    from tests.conftest import LocalAws


def dry_run(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**arguments, DryRun=True)
    return str(error.value.response["Error"]["Code"])


def test_dry_run_that_would_succeed_makes_nothing(aws: LocalAws) -> None:
    ec2 = aws.client("ec2")
    before = len(ec2.describe_vpcs()["Vpcs"])

    assert dry_run(ec2.create_vpc, CidrBlock="10.214.0.0/16") == "DryRunOperation"
    assert len(ec2.describe_vpcs()["Vpcs"]) == before


def test_dry_run_without_permission_is_refused(aws: LocalAws) -> None:
    with aws.denied("ec2:CreateVpc"):
        create = aws.client("ec2", user=profile.DEPLOYER).create_vpc
        assert dry_run(create, CidrBlock="10.214.0.0/16") == "UnauthorizedOperation"


def test_dry_run_of_an_invalid_request_is_refused(aws: LocalAws) -> None:
    create = aws.client("ec2").create_security_group
    assert dry_run(create, GroupName="g" * 256, Description="too long").startswith("Invalid")
