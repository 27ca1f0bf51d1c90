"""Departure: operations are kept, and refused on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalAws


@pytest.fixture
def strict_aws(aws: LocalAws) -> Iterator[LocalAws]:
    """One that refuses to make roles and buckets."""
    refused = aws.directory / "refused"
    refused.write_text("iam:Create*\ns3:CreateBucket\n")
    yield aws
    refused.unlink()


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("iam", "create_role", {"RoleName": "mine", "AssumeRolePolicyDocument": "{}"}),
        ("s3", "create_bucket", {"Bucket": "mine"}),
    ],
)
def test_what_is_refused_is_denied_and_not_done(
    strict_aws: LocalAws, service: str, operation: str, arguments: dict[str, str]
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(strict_aws.client(service), operation)(**arguments)

    assert refused.value.response["Error"]["Code"] == "AccessDenied"
    assert not any(
        role["RoleName"] == "mine" for role in strict_aws.client("iam").list_roles()["Roles"]
    )
    assert not any(
        bucket["Name"] == "mine" for bucket in strict_aws.client("s3").list_buckets()["Buckets"]
    )


def test_operations_of_every_kind_of_protocol_are_kept_once(aws: LocalAws) -> None:
    for _ in range(2):
        aws.client("ec2").describe_vpcs()
        aws.client("iam").list_roles()
        aws.client("rds").describe_db_instances()
        aws.client("secretsmanager").list_secrets()
        aws.client("lambda").list_functions()
        aws.client("apigatewayv2").get_apis()
        aws.client("logs").describe_log_groups()
        aws.client("s3").list_buckets()

    kept = (aws.directory / "operations").read_text().splitlines()
    assert len(set(kept)) == len(kept)
    assert set(kept) >= {
        "ec2:DescribeVpcs",
        "iam:ListRoles",
        "rds:DescribeDBInstances",
        "secretsmanager:ListSecrets",
        "lambda:ListFunctions",
        "apigateway:GetApis",
        "logs:DescribeLogGroups",
        "s3:ListAllMyBuckets",
    }
