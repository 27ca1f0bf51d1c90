"""Departure: an access log needs an entry in the account's policy for log delivery."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from tests.conftest import LocalAws

# A region that no other test uses.
REGION = "ap-south-1"
GROUP = f"arn:aws:logs:{REGION}:123456789012:log-group:"
ANY = {"Effect": "Allow", "Principal": {"Service": "es.amazonaws.com"}, "Action": "logs:Put*"}


def logging_to(apis: Any, group: str) -> None:
    """Make an API whose access log goes to `group`, and delete it."""
    api = apis.create_api(Name="api", ProtocolType="HTTP")["ApiId"]
    settings = {"DestinationArn": GROUP + group, "Format": "$context.requestId"}
    try:
        apis.create_stage(ApiId=api, StageName="$default", AccessLogSettings=settings)
    finally:
        apis.delete_api(ApiId=api)


def test_access_log_adds_its_group_and_vended_groups_share_one(aws: LocalAws) -> None:
    apis, logs = aws.client("apigatewayv2", region=REGION), aws.client("logs", region=REGION)
    for group in ("/one", "/two", "/aws/vendedlogs/a", "/aws/vendedlogs/b", "/one"):
        logging_to(apis, group)
    [policy] = logs.describe_resource_policies()["resourcePolicies"]
    logs.delete_resource_policy(policyName=policy["policyName"])
    [statement] = json.loads(policy["policyDocument"])["Statement"]

    assert policy["policyName"] == "AWSLogDeliveryWrite20150319"
    assert statement["Resource"] == [
        f"{GROUP}/one",
        f"{GROUP}/two",
        f"{GROUP}/aws/vendedlogs/*",
    ]


def test_access_log_without_room_for_a_policy_is_refused(aws: LocalAws) -> None:
    apis, logs = aws.client("apigatewayv2", region=REGION), aws.client("logs", region=REGION)
    names = [f"policy-{number}" for number in range(10)]
    document = json.dumps({"Version": "2012-10-17", "Statement": [ANY | {"Resource": "*"}]})
    for name in names:
        logs.put_resource_policy(policyName=name, policyDocument=document)
    with pytest.raises(ClientError, match="Insufficient permissions to enable logging"):
        logging_to(apis, "/aws/vendedlogs/a")
    for name in names:
        logs.delete_resource_policy(policyName=name)
