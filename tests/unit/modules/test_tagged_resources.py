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
