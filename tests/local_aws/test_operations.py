"""Departure: operations are kept, and refused on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from local_aws.profile import ACCESS_KEY

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


def test_operator_s_calls_of_every_protocol_are_kept_once(aws: LocalAws) -> None:
    for _ in range(2):
        aws.client("ec2", ACCESS_KEY).describe_vpcs()
        aws.client("iam", ACCESS_KEY).list_roles()
        aws.client("rds", ACCESS_KEY).describe_db_instances()
        aws.client("secretsmanager", ACCESS_KEY).list_secrets()
        aws.client("lambda", ACCESS_KEY).list_functions()
        aws.client("apigatewayv2", ACCESS_KEY).get_apis()
        aws.client("logs", ACCESS_KEY).describe_log_groups()
        aws.client("s3", ACCESS_KEY).list_buckets()

    aws.client("sqs").list_queues()

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
    assert not any(operation.startswith("sqs:") for operation in kept)


def test_parts_of_a_bucket_are_known_by_the_names_that_policies_have(aws: LocalAws) -> None:
    s3 = aws.client("s3", ACCESS_KEY)
    s3.create_bucket(Bucket="parts")
    s3.head_bucket(Bucket="parts")
    s3.put_bucket_encryption(
        Bucket="parts",
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
    )
    s3.get_bucket_encryption(Bucket="parts")
    s3.put_public_access_block(
        Bucket="parts", PublicAccessBlockConfiguration={"BlockPublicAcls": True}
    )
    s3.delete_public_access_block(Bucket="parts")
    s3.put_bucket_ownership_controls(
        Bucket="parts",
        OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
    )
    s3.delete_bucket(Bucket="parts")

    assert set((aws.directory / "operations").read_text().splitlines()) >= {
        "s3:GetEncryptionConfiguration",
        "s3:PutBucketPublicAccessBlock",
        "s3:PutBucketOwnershipControls",
        "s3:ListBucket",
    }
