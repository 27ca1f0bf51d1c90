from __future__ import annotations

from typing import Any

import boto3
import pytest
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.tagged_resources import Search
from botocore.stub import Stubber

ARN = "arn:aws:{}:us-east-1:123456789012:{}"


@pytest.mark.parametrize(
    ("service", "lists", "asks", "error"),
    [
        (
            "logs",
            {
                "describe_log_groups": {
                    "logGroups": [
                        {
                            "logGroupName": "/aws/lambda/demo-x",
                            "arn": ARN.format("logs", "log-group:/aws/lambda/demo-x:*"),
                        }
                    ]
                }
            },
            "list_tags_for_resource",
            "ResourceNotFoundException",
        ),
        (
            "lambda",
            {
                "list_functions": {
                    "Functions": [
                        {
                            "FunctionName": "demo-x",
                            "FunctionArn": ARN.format("lambda", "function:demo-x"),
                        }
                    ]
                }
            },
            "list_tags",
            "ResourceNotFoundException",
        ),
        (
            "rds",
            {
                "describe_db_instances": {},
                "describe_db_snapshots": {},
                "describe_db_subnet_groups": {},
                "describe_db_parameter_groups": {
                    "DBParameterGroups": [
                        {
                            "DBParameterGroupName": "demo-x",
                            "DBParameterGroupArn": ARN.format("rds", "pg:demo-x"),
                        }
                    ]
                },
            },
            "list_tags_for_resource",
            "DBParameterGroupNotFound",
        ),
    ],
    ids=["logs", "lambda", "rds"],
)
def test_listed_resource_that_is_gone_is_left_out(
    service: str, lists: dict[str, Any], asks: str, error: str
) -> None:
    client = boto3.client(
        service, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    keys = {
        "describe_db_instances": "DBInstances",
        "describe_db_snapshots": "DBSnapshots",
        "describe_db_subnet_groups": "DBSubnetGroups",
    }
    with Stubber(client) as stub:
        for operation, answer in lists.items():
            stub.add_response(operation, answer or {keys[operation]: []})
        stub.add_client_error(asks, error)

        found = Search(lambda _: client, {"Deployment": "demo"}, ("demo-",)).resources([service])

    assert found == []


@pytest.mark.parametrize(("partition", "asked"), [("aws", True), ("aws-us-gov", False)])
def test_partition_without_budgets_is_not_asked_for_one(partition: str, *, asked: bool) -> None:
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    clients = {
        name: boto3.client(name, region_name="us-east-1", **keys) for name in ("sts", "budgets")
    }
    search = Search(clients.__getitem__, {"Deployment": "demo"}, ("demo-",))
    with Stubber(clients["sts"]) as sts, Stubber(clients["budgets"]) as budgets:
        arn = f"arn:{partition}:iam::123456789012:user/deployer"
        sts.add_response("get_caller_identity", {"Account": "123456789012", "Arn": arn})
        if asked:
            budgets.add_client_error("describe_budget", "NotFoundException")

        assert search.resources(["budgets"]) == []
        budgets.assert_no_pending_responses()

    assert search.denied == (set() if asked else {"budgets"})
