"""A set of alarms: created, repeated, changed, reduced and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

if TYPE_CHECKING:
    from .conftest import RunModule

MODULE = "cloudwatch_alarms"
TOPIC = "arn:aws:sns:us-east-1:123456789012:demo-mlflow-alarms"
OURS = {"Deployment": "demo"}


def alarm(name: str, **settings: Any) -> dict[str, Any]:
    return {
        "name": name,
        "description": f"About {name}",
        "namespace": "AWS/RDS",
        "metric_name": "FreeStorageSpace",
        "dimensions": {"DBInstanceIdentifier": "demo-mlflow"},
        "statistic": "Average",
        "comparison": "LessThanThreshold",
        "threshold": 1024,
        "treat_missing_data": "missing",
    } | settings


def arguments(*alarms: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "prefix": "demo-mlflow-",
        "search_tags": OURS,
        "tags": OURS,
        "purge_tags": False,
        "actions": [TOPIC],
        "alarms": list(alarms),
    } | more


def described() -> dict[str, dict[str, Any]]:
    found = boto3.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {one["AlarmName"]: one for one in found}


def tags(name: str) -> dict[str, str]:
    arn = described()[name]["AlarmArn"]
    found = boto3.client("cloudwatch").list_tags_for_resource(ResourceARN=arn)["Tags"]
    return {tag["Key"]: tag["Value"] for tag in found}


def test_alarms_are_created_once(run_module: RunModule) -> None:
    planned = run_module(MODULE, check=True, **arguments(alarm("storage")))
    before = described()
    created = run_module(MODULE, **arguments(alarm("storage"), alarm("cpu")))
    again = run_module(MODULE, **arguments(alarm("storage"), alarm("cpu")))

    assert (planned["changed"], created["changed"], again["changed"]) == (True, True, False)
    assert before == {}
    assert created["names"] == ["demo-mlflow-cpu", "demo-mlflow-storage"]
    found = described()["demo-mlflow-storage"]
    assert (found["Threshold"], found["TreatMissingData"]) == (1024, "missing")
    assert found["AlarmActions"] == found["OKActions"] == [TOPIC]
    assert found["Dimensions"] == [{"Name": "DBInstanceIdentifier", "Value": "demo-mlflow"}]
    assert tags("demo-mlflow-storage") == OURS


def test_changed_threshold_is_shown_and_put(run_module: RunModule) -> None:
    run_module(MODULE, **arguments(alarm("storage")))
    planned = run_module(MODULE, check=True, **arguments(alarm("storage", threshold=2048)))
    unchanged = described()["demo-mlflow-storage"]["Threshold"]
    run_module(MODULE, **arguments(alarm("storage", threshold=2048)))

    assert unchanged == 1024
    assert planned["diff"]["before"]["demo-mlflow-storage"]["threshold"] == 1024
    assert planned["diff"]["after"]["demo-mlflow-storage"]["threshold"] == 2048
    assert described()["demo-mlflow-storage"]["Threshold"] == 2048


@pytest.mark.parametrize(
    "difference", [{"ActionsEnabled": False}, {"Unit": "Bytes"}, {"DatapointsToAlarm": 1}]
)
def test_change_by_hand_is_undone(run_module: RunModule, difference: dict[str, Any]) -> None:
    run_module(MODULE, **arguments(alarm("storage", evaluation_periods=2)))
    found = described()["demo-mlflow-storage"]
    names = ("AlarmName", "AlarmDescription", "MetricName", "Namespace", "Statistic", "Dimensions")
    numbers = ("Period", "EvaluationPeriods", "Threshold", "ComparisonOperator", "AlarmActions")
    more = ("OKActions", "TreatMissingData")
    kept = {name: found[name] for name in (*names, *numbers, *more)}
    boto3.client("cloudwatch").put_metric_alarm(**kept | difference)

    assert run_module(MODULE, **arguments(alarm("storage", evaluation_periods=2)))["changed"]
    assert not run_module(MODULE, **arguments(alarm("storage", evaluation_periods=2)))["changed"]


def test_alarms_that_are_not_listed_are_deleted(run_module: RunModule) -> None:
    run_module(MODULE, **arguments(alarm("storage"), alarm("cpu")))
    planned = run_module(MODULE, check=True, **arguments(alarm("cpu")))
    still = sorted(described())
    run_module(MODULE, **arguments(alarm("cpu")))

    assert planned["changed"]
    assert still == ["demo-mlflow-cpu", "demo-mlflow-storage"]
    assert list(described()) == ["demo-mlflow-cpu"]


def test_deletion_spares_alarms_without_the_tags(run_module: RunModule) -> None:
    run_module(MODULE, **arguments(alarm("storage")))
    theirs = {"Deployment": "demo-mlflow"}
    run_module(MODULE, **arguments(alarm("theirs"), search_tags=theirs, tags=theirs))
    absent: dict[str, Any] = {"prefix": "demo-mlflow-", "search_tags": OURS, "state": "absent"}
    deleted = run_module(MODULE, **absent)
    again = run_module(MODULE, **absent)

    assert (deleted["changed"], again["changed"]) == (True, False)
    assert list(described()) == ["demo-mlflow-theirs"]


def test_tags_are_added_and_others_stay(run_module: RunModule) -> None:
    run_module(MODULE, **arguments(alarm("storage")))
    arn = described()["demo-mlflow-storage"]["AlarmArn"]
    boto3.client("cloudwatch").tag_resource(
        ResourceARN=arn, Tags=[{"Key": "Owner", "Value": "ops"}]
    )
    more = OURS | {"ManagedBy": "ansible"}
    changed = run_module(MODULE, **arguments(alarm("storage"), tags=more))
    again = run_module(MODULE, **arguments(alarm("storage"), tags=more))

    assert (changed["changed"], again["changed"]) == (True, False)
    assert tags("demo-mlflow-storage") == more | {"Owner": "ops"}


@pytest.mark.parametrize(
    ("alarms", "message"),
    [
        ([alarm("a", period=90)], "period: 90 is not a valid period"),
        ([alarm("a"), alarm("a")], "'a' is not a valid name: it is listed twice"),
    ],
)
def test_invalid_alarm_is_refused(
    run_module: RunModule, alarms: list[dict[str, Any]], message: str
) -> None:
    assert message in run_module(MODULE, fails=True, **arguments(*alarms))["msg"]
