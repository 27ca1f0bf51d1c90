"""CloudWatch's alarms, SNS and Budgets: who may do what, tags, confirmation, changes of budgets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local_aws import profile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalAws

ACCOUNT = "123456789012"
ALARM = {
    "MetricName": "FreeStorageSpace",
    "Namespace": "AWS/RDS",
    "Statistic": "Average",
    "Period": 300,
    "EvaluationPeriods": 1,
    "Threshold": 1.0,
    "ComparisonOperator": "LessThanThreshold",
}
TAGS = [{"Key": "Deployment", "Value": "ours"}]
NOTIFICATION = {
    "NotificationType": "ACTUAL",
    "ComparisonOperator": "GREATER_THAN",
    "Threshold": 80.0,
    "ThresholdType": "PERCENTAGE",
}


def budget(name: str, amount: str = "10") -> dict[str, Any]:
    limit = {"Amount": amount, "Unit": "USD"}
    return {
        "BudgetName": name,
        "BudgetType": "COST",
        "TimeUnit": "MONTHLY",
        "BudgetLimit": limit,
    }


@pytest.fixture
def deployer(aws: LocalAws) -> Iterator[LocalAws]:
    """A deployer who may do everything with alarms, topics and budgets that are named ours-*."""
    resources = [
        f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:ours-*",
        f"arn:aws:sns:us-east-1:{ACCOUNT}:ours-*",
        f"arn:aws:budgets::{ACCOUNT}:budget/ours-*",
    ]
    statement = {
        "Effect": "Allow",
        "Action": ["cloudwatch:*", "sns:*", "budgets:*"],
        "Resource": resources,
    }
    aws.allow("alarms", json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    yield aws
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    aws.allow("alarms", json.dumps({"Version": "2012-10-17", "Statement": [everything]}))


def client(aws: LocalAws, service: str) -> Any:
    return aws.client(service, profile.DEPLOYER)


def test_alarms_are_authorized_by_their_names(deployer: LocalAws) -> None:
    cloudwatch = client(deployer, "cloudwatch")
    cloudwatch.put_metric_alarm(AlarmName="ours-a", **ALARM, Tags=TAGS)
    with pytest.raises(ClientError, match=r"AccessDenied.*cloudwatch:PutMetricAlarm"):
        cloudwatch.put_metric_alarm(AlarmName="theirs", **ALARM)
    with pytest.raises(ClientError, match=r"cloudwatch:DeleteAlarms.*alarm:theirs"):
        cloudwatch.delete_alarms(AlarmNames=["ours-a", "theirs"])
    with pytest.raises(ClientError, match="cloudwatch:DescribeAlarms"):
        cloudwatch.describe_alarms()
    arn = f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:ours-a"

    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == TAGS
    cloudwatch.delete_alarms(AlarmNames=["ours-a"])


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "action"),
    [
        (
            "cloudwatch",
            "put_metric_alarm",
            {"AlarmName": "ours-b", **ALARM, "Tags": TAGS},
            "cloudwatch:TagResource",
        ),
        ("sns", "create_topic", {"Name": "ours-b", "Tags": TAGS}, "sns:TagResource"),
        (
            "budgets",
            "create_budget",
            {"AccountId": ACCOUNT, "Budget": budget("ours-b"), "ResourceTags": TAGS},
            "budgets:TagResource",
        ),
    ],
)
def test_creation_with_tags_needs_the_right_to_tag(
    aws: LocalAws, service: str, operation: str, arguments: dict[str, Any], action: str
) -> None:
    allowed = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    denied = {"Effect": "Deny", "Action": action, "Resource": "*"}
    aws.allow("alarms", json.dumps({"Version": "2012-10-17", "Statement": [allowed, denied]}))
    with pytest.raises(ClientError, match=action):
        getattr(client(aws, service), operation)(**arguments)
    aws.allow("alarms", json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))


def test_topics_are_authorized_by_their_names(deployer: LocalAws) -> None:
    sns = client(deployer, "sns")
    topic = sns.create_topic(Name="ours-topic", Tags=TAGS)["TopicArn"]
    with pytest.raises(ClientError, match=r"AuthorizationError.*sns:CreateTopic"):
        sns.create_topic(Name="theirs")

    assert sns.list_tags_for_resource(ResourceArn=topic)["Tags"] == TAGS
    sns.delete_topic(TopicArn=topic)


def test_subscription_by_mail_waits_for_its_confirmation(aws: LocalAws) -> None:
    sns = aws.client("sns")
    topic = sns.create_topic(Name="mail")["TopicArn"]
    queue = f"arn:aws:sqs:us-east-1:{ACCOUNT}:queue"
    answer = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@example.org")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    found = {
        one["Protocol"]: one["SubscriptionArn"]
        for one in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    }

    assert answer["SubscriptionArn"] == "pending confirmation"
    assert found["email"] == "PendingConfirmation"
    assert found["sqs"].startswith("arn:aws:sns:")
    sns.delete_topic(TopicArn=topic)


def test_budgets_are_authorized_by_their_names(deployer: LocalAws) -> None:
    budgets = client(deployer, "budgets")
    budgets.create_budget(AccountId=ACCOUNT, Budget=budget("ours-budget"))
    with pytest.raises(ClientError, match=r"AccessDeniedException.*budgets:ModifyBudget"):
        budgets.create_budget(AccountId=ACCOUNT, Budget=budget("theirs"))
    with pytest.raises(ClientError, match="budgets:ViewBudget"):
        budgets.describe_budget(AccountId=ACCOUNT, BudgetName="theirs")
    budgets.delete_budget(AccountId=ACCOUNT, BudgetName="ours-budget")


def test_budget_is_updated_tagged_and_lists_its_subscribers(aws: LocalAws) -> None:
    budgets = aws.client("budgets")
    names = {"AccountId": ACCOUNT, "BudgetName": "changed"}
    subscribers = [{"SubscriptionType": "EMAIL", "Address": "a@example.org"}]
    budgets.create_budget(
        AccountId=ACCOUNT,
        Budget=budget("changed"),
        NotificationsWithSubscribers=[
            {"Notification": NOTIFICATION, "Subscribers": subscribers},
        ],
        ResourceTags=TAGS,
    )
    budgets.update_budget(AccountId=ACCOUNT, NewBudget=budget("changed", "20"))
    arn = f"arn:aws:budgets::{ACCOUNT}:budget/changed"
    budgets.tag_resource(ResourceARN=arn, ResourceTags=[{"Key": "Owner", "Value": "ops"}])
    budgets.untag_resource(ResourceARN=arn, ResourceTagKeys=["Deployment"])
    found = budgets.describe_subscribers_for_notification(**names, Notification=NOTIFICATION)

    assert budgets.describe_budget(**names)["Budget"]["BudgetLimit"]["Amount"] == "20"
    assert found["Subscribers"] == subscribers
    tags = budgets.list_tags_for_resource(ResourceARN=arn)["ResourceTags"]
    assert tags == [{"Key": "Owner", "Value": "ops"}]
    budgets.delete_budget(**names)
    with pytest.raises(ClientError, match="NotFoundException"):
        budgets.update_budget(AccountId=ACCOUNT, NewBudget=budget("changed"))
