"""A budget with its notifications and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

from local_aws.services.budgets import changes

if TYPE_CHECKING:
    from .conftest import RunModule

MODULE = "budgets_budget"
NAMES = {"AccountId": "123456789012", "BudgetName": "demo-us-east-1"}
ARN = "arn:aws:budgets::123456789012:budget/demo-us-east-1"
TOPIC = "arn:aws:sns:us-east-1:123456789012:demo-mlflow-alarms"


@pytest.fixture(scope="module", autouse=True)
def _complete_budgets() -> None:
    """Add what moto leaves out."""
    changes.apply(None)


def arguments(**settings: Any) -> dict[str, Any]:
    return {
        "name": "demo-us-east-1",
        "amount": 80,
        "filter_tags": {"Deployment": "demo"},
        "notifications": [
            {"type": "ACTUAL", "percent": 80, "topic_arn": TOPIC},
            {"type": "FORECASTED", "percent": 100, "topic_arn": TOPIC},
        ],
        "tags": {"Deployment": "demo"},
        "purge_tags": False,
    } | settings


def budget() -> dict[str, Any]:
    found: dict[str, Any] = boto3.client("budgets").describe_budget(**NAMES)["Budget"]
    return found


def notifications() -> dict[tuple[str, float], list[str]]:
    client = boto3.client("budgets")
    found = client.describe_notifications_for_budget(**NAMES)["Notifications"]
    return {
        (one["NotificationType"], one["Threshold"]): [
            subscriber["Address"]
            for subscriber in client.describe_subscribers_for_notification(
                **NAMES, Notification=one
            )["Subscribers"]
        ]
        for one in found
    }


def tags() -> dict[str, str]:
    found = boto3.client("budgets").list_tags_for_resource(ResourceARN=ARN)["ResourceTags"]
    return {tag["Key"]: tag["Value"] for tag in found}


def test_budget_is_created_once(run_module: RunModule) -> None:
    planned = run_module(MODULE, check=True, **arguments())
    before = boto3.client("budgets").describe_budgets(AccountId=NAMES["AccountId"])["Budgets"]
    created = run_module(MODULE, **arguments())
    again = run_module(MODULE, **arguments())

    assert (planned["changed"], created["changed"], again["changed"]) == (True, True, False)
    assert before == []
    assert budget()["BudgetLimit"] == {"Amount": "80", "Unit": "USD"}
    assert budget()["CostFilters"] == {"TagKeyValue": ["user:Deployment$demo"]}
    assert budget()["TimeUnit"] == "MONTHLY"
    assert notifications() == {("ACTUAL", 80): [TOPIC], ("FORECASTED", 100): [TOPIC]}
    assert tags() == {"Deployment": "demo"}


def test_budget_is_changed(run_module: RunModule) -> None:
    run_module(MODULE, **arguments())
    boto3.client("budgets").tag_resource(
        ResourceARN=ARN, ResourceTags=[{"Key": "Owner", "Value": "ops"}]
    )
    new = arguments(
        amount=120.5,
        notifications=[
            {"type": "ACTUAL", "percent": 80, "topic_arn": TOPIC + "-2"},
            {"type": "ACTUAL", "percent": 50, "topic_arn": TOPIC},
        ],
        tags={"Deployment": "demo", "ManagedBy": "ansible"},
    )
    planned = run_module(MODULE, check=True, **new)
    still = budget()["BudgetLimit"]["Amount"]
    changed = run_module(MODULE, **new)
    again = run_module(MODULE, **new)

    assert (planned["changed"], changed["changed"], again["changed"]) == (True, True, False)
    assert still == "80"
    assert planned["diff"]["before"]["amount"] == 80
    assert planned["diff"]["after"]["amount"] == 120.5
    assert budget()["BudgetLimit"]["Amount"] == "120.5"
    assert notifications() == {("ACTUAL", 80): [TOPIC + "-2"], ("ACTUAL", 50): [TOPIC]}
    assert tags() == {"Deployment": "demo", "ManagedBy": "ansible", "Owner": "ops"}


def test_notification_of_another_form_is_removed(run_module: RunModule) -> None:
    run_module(MODULE, **arguments())
    boto3.client("budgets").create_notification(
        **NAMES,
        Notification={
            "NotificationType": "ACTUAL",
            "ComparisonOperator": "GREATER_THAN",
            "Threshold": 70.0,
            "ThresholdType": "ABSOLUTE_VALUE",
        },
        Subscribers=[{"SubscriptionType": "SNS", "Address": TOPIC}],
    )

    assert run_module(MODULE, **arguments())["changed"]
    assert not run_module(MODULE, **arguments())["changed"]
    assert notifications() == {("ACTUAL", 80): [TOPIC], ("FORECASTED", 100): [TOPIC]}


def test_budget_is_deleted_once(run_module: RunModule) -> None:
    run_module(MODULE, **arguments())
    absent: dict[str, Any] = {"name": "demo-us-east-1", "state": "absent"}
    planned = run_module(MODULE, check=True, **absent)
    still = budget()["BudgetName"]
    deleted = run_module(MODULE, **absent)
    again = run_module(MODULE, **absent)

    assert (planned["changed"], deleted["changed"], again["changed"]) == (True, True, False)
    assert still == "demo-us-east-1"
    assert boto3.client("budgets").describe_budgets(AccountId=NAMES["AccountId"])["Budgets"] == []


def test_budget_without_an_amount_is_refused(run_module: RunModule) -> None:
    assert "amount" in run_module(MODULE, fails=True, name="demo-us-east-1")["msg"]
