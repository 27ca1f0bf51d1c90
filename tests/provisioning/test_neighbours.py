"""The comparison that each suite ends with finds whatever was done to a neighbour's resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import LocalAws, started
from tests.tracking_server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "near"
OTHER = f"{NAME}-next"
TAG = [{"Key": "Deployment", "Value": NAME}]
BUCKET = f"{OTHER}-mlflow-123456789012-us-east-1"
ROLE = f"{OTHER}-mlflow-host-us-east-1"


@pytest.fixture
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    # Without neighbours of its own accord, as these are not to stay as they are.
    yield from started(LocalAws(tmp_path_factory.mktemp("aws"), free_port()))


def vpc(aws: LocalAws) -> str:
    named = [{"Name": "tag:Name", "Values": [NAME]}]
    return str(aws.client("ec2").describe_vpcs(Filters=named)["Vpcs"][0]["VpcId"])


def group(aws: LocalAws) -> str:
    named = [{"Name": "group-name", "Values": [f"{NAME}-host"]}]
    found = aws.client("ec2").describe_security_groups(Filters=named)["SecurityGroups"]
    return str(found[0]["GroupId"])


def api(aws: LocalAws) -> str:
    pages = aws.client("apigatewayv2").get_paginator("get_apis").paginate()
    apis: list[dict[str, Any]] = [api for page in pages for api in page["Items"]]
    return next(api["ApiId"] for api in apis if api["Name"] == f"{OTHER}-mlflow-metrics")


@pytest.mark.slow
def test_comparison_names_each_neighbour_that_lost_something(aws: LocalAws) -> None:
    near = LocalAws(aws.directory, aws.port, neighbours_of=NAME)
    neighbours = near.create_neighbours()
    before = neighbours.losses
    network, rules, endpoint = vpc(aws), group(aws), api(aws)
    aws.client("ec2").create_tags(Resources=[network], Tags=TAG)
    aws.client("ec2").authorize_security_group_ingress(
        GroupId=rules, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="198.51.100.7/32"
    )
    aws.client("ec2").delete_key_pair(KeyName="another")
    aws.client("iam").delete_role_policy(RoleName=ROLE, PolicyName="artifacts")
    aws.client("lambda").delete_function(FunctionName="another-050")
    aws.client("logs").put_retention_policy(logGroupName="another-000", retentionInDays=1)
    aws.client("s3").put_object(Bucket=BUCKET, Key="1/model.pkl", Body=b"third")
    aws.client("secretsmanager").put_secret_value(
        SecretId=f"{OTHER}/mlflow-admin", SecretString="other"
    )
    aws.client("apigatewayv2").delete_stage(ApiId=endpoint, StageName="$default")
    aws.client("rds").add_tags_to_resource(
        ResourceName=f"arn:aws:rds:us-east-1:123456789012:db:{OTHER}-mlflow", Tags=TAG
    )

    assert before == {}
    assert set(neighbours.losses) == {
        f"apigatewayv2 get_apis {endpoint}",
        *(name for name in neighbours.losses if name.startswith("ec2 describe_key_pairs")),
        f"ec2 describe_security_groups {rules}",
        f"ec2 describe_vpcs {network}",
        f"iam get_account_authorization_details {ROLE}",
        "lambda list_functions another-050",
        "logs describe_log_groups another-000",
        f"rds describe_db_instances {OTHER}-mlflow",
        f"s3 list_buckets {BUCKET}",
        f"secretsmanager list_secrets {OTHER}/mlflow-admin",
    }
    assert len(neighbours.losses) == 10
