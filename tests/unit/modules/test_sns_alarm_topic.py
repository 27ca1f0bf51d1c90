"""A topic with its policy, key, subscriptions and tags."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from .conftest import RunModule

MODULE = "sns_alarm_topic"
ARN = "arn:aws:sns:us-east-1:123456789012:demo-mlflow-alarms"
MAIL = {"protocol": "email", "endpoint": "team@example.org"}
HOOK = {"protocol": "https", "endpoint": "https://chat.example.org/hook"}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "cloudwatch.amazonaws.com"},
            "Action": "sns:Publish",
            "Resource": "TOPIC_ARN",
        }
    ],
}


def arguments(**settings: Any) -> dict[str, Any]:
    return {
        "name": "demo-mlflow-alarms",
        "policy": json.dumps(POLICY),
        "subscriptions": [MAIL],
        "tags": {"Deployment": "demo"},
        "purge_tags": False,
    } | settings


def attributes() -> dict[str, str]:
    found: dict[str, str] = boto3.client("sns").get_topic_attributes(TopicArn=ARN)["Attributes"]
    return found


def endpoints() -> list[str]:
    found = boto3.client("sns").list_subscriptions_by_topic(TopicArn=ARN)["Subscriptions"]
    return sorted(one["Endpoint"] for one in found)


def tags() -> dict[str, str]:
    found = boto3.client("sns").list_tags_for_resource(ResourceArn=ARN)["Tags"]
    return {tag["Key"]: tag["Value"] for tag in found}


def test_topic_is_created_once(run_module: RunModule) -> None:
    planned = run_module(MODULE, check=True, **arguments())
    with pytest.raises(ClientError, match="NotFound"):
        attributes()
    created = run_module(MODULE, **arguments())
    again = run_module(MODULE, **arguments())

    assert (planned["changed"], created["changed"], again["changed"]) == (True, True, False)
    assert planned["topic_arn"] == created["topic_arn"] == ARN
    [statement] = json.loads(attributes()["Policy"])["Statement"]
    assert statement["Resource"] == ARN
    assert endpoints() == ["team@example.org"]
    assert tags() == {"Deployment": "demo"}


def test_subscriptions_are_replaced(run_module: RunModule) -> None:
    run_module(MODULE, **arguments(subscriptions=[MAIL]))
    planned = run_module(MODULE, check=True, **arguments(subscriptions=[HOOK]))
    still = endpoints()
    run_module(MODULE, **arguments(subscriptions=[HOOK]))

    assert planned["diff"]["before"]["subscriptions"] == ["email team@example.org"]
    assert planned["diff"]["after"]["subscriptions"] == ["https https://chat.example.org/hook"]
    assert still == ["team@example.org"]
    assert endpoints() == ["https://chat.example.org/hook"]


def test_key_policy_and_tags_are_changed(run_module: RunModule) -> None:
    run_module(MODULE, **arguments())
    open_to_all = [POLICY["Statement"][0] | {"Principal": "*"}]  # type: ignore[operator]
    boto3.client("sns").set_topic_attributes(
        TopicArn=ARN,
        AttributeName="Policy",
        AttributeValue=json.dumps(POLICY | {"Statement": open_to_all}).replace("TOPIC_ARN", ARN),
    )
    boto3.client("sns").tag_resource(ResourceArn=ARN, Tags=[{"Key": "Owner", "Value": "ops"}])
    more = {"Deployment": "demo", "ManagedBy": "ansible"}
    changed = run_module(MODULE, **arguments(kms_key="alias/alarms", tags=more))
    again = run_module(MODULE, **arguments(kms_key="alias/alarms", tags=more))

    assert (changed["changed"], again["changed"]) == (True, False)
    assert attributes()["KmsMasterKeyId"] == "alias/alarms"
    [statement] = json.loads(attributes()["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert tags() == more | {"Owner": "ops"}


def test_topic_is_deleted_once(run_module: RunModule) -> None:
    run_module(MODULE, **arguments())
    absent: dict[str, Any] = {"name": "demo-mlflow-alarms", "state": "absent"}
    planned = run_module(MODULE, check=True, **absent)
    still = endpoints()
    deleted = run_module(MODULE, **absent)
    again = run_module(MODULE, **absent)

    assert (planned["changed"], deleted["changed"], again["changed"]) == (True, True, False)
    assert still == ["team@example.org"]
    assert boto3.client("sns").list_topics()["Topics"] == []
