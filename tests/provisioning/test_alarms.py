"""Alarms, their topic and the budget: created, repeated, changed, switched off.

The playbook gets the resources that it watches as variables, so that none has to exist.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT, LocalAws, Play, deploy_policy, started
from tests.policy_mutations import documented, mutate, rows
from tests.tracking_server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "watched"
CHECK = "tests/provisioning/check_alarms.yml"
ACCOUNT = "123456789012"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:{NAME}-mlflow-alarms"
BUDGET = f"{NAME}-us-east-1"
ALARMS = {
    f"{NAME}-mlflow-{name}"
    for name in (
        *("database-storage", "database-cpu", "database-connections", "database-credits"),
        *("host-status", "host-credits", "function-errors", "function-duration"),
        "endpoint-errors",
    )
}
WATCHED = {
    "deployment": NAME,
    "aws_rds": {"identifier": f"{NAME}-mlflow"},
    "aws_ec2": {"instance_id": "i-0123456789abcdef0"},
    "aws_lambda": {"name": f"{NAME}-mlflow-metrics"},
    "aws_api_gateway": {"id": "a1b2c3d4e5"},
}
ON: dict[str, Any] = {
    "aws_alarms_enabled": True,
    "aws_alarms_subscriptions": [{"protocol": "email", "endpoint": "team@example.org"}],
    "aws_alarms_budget_usd": 80,
}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """An account whose deployer has the deploy policy only."""
    for own in started(LocalAws(tmp_path_factory.mktemp("aws"), free_port())):
        own.allow_deployment(NAME)
        yield own


def play(aws: LocalAws, *arguments: str, **variables: Any) -> Play:
    return aws.play("playbooks/alarms.yml", "-e", json.dumps(WATCHED | variables), *arguments)


def refusal(aws: LocalAws, playbook: str, **variables: Any) -> str:
    """Return what a playbook that fails says, without the breaks of lines."""
    done = aws.play(playbook, "-e", json.dumps({"deployment": NAME} | variables))
    assert done.returncode != 0, done.output
    return " ".join(done.output.split())


def alarms(aws: LocalAws) -> dict[str, dict[str, Any]]:
    found = aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {one["AlarmName"]: one for one in found}


def topics(aws: LocalAws) -> list[str]:
    return [one["TopicArn"] for one in aws.client("sns").list_topics()["Topics"]]


def budgets(aws: LocalAws) -> list[str]:
    found = aws.client("budgets").describe_budgets(AccountId=ACCOUNT)["Budgets"]
    return [one["BudgetName"] for one in found]


def test_alarms_are_planned_created_and_unchanged(aws: LocalAws) -> None:
    planned = play(aws, "--check", **ON)
    before = (alarms(aws), topics(aws), budgets(aws))
    created = play(aws, **ON)
    again = play(aws, **ON)

    assert planned.returncode == created.returncode == again.returncode == 0, created.output
    assert "3 to create" in planned.output, planned.output
    assert before == ({}, [], [])
    assert created.recap["changed"] == 3, created.output
    assert again.recap["changed"] == 0, again.output
    assert "email team@example.org must confirm" in " ".join(created.output.split())


def test_alarms_watch_each_part_and_notify_the_topic(aws: LocalAws) -> None:
    found = alarms(aws)

    assert found.keys() == ALARMS
    assert {tuple(one["AlarmActions"]) for one in found.values()} == {(TOPIC,)}
    storage = found[f"{NAME}-mlflow-database-storage"]
    assert storage["Threshold"] == 2**30
    assert storage["Dimensions"] == [{"Name": "DBInstanceIdentifier", "Value": f"{NAME}-mlflow"}]
    assert found[f"{NAME}-mlflow-database-connections"]["Threshold"] == 67
    assert found[f"{NAME}-mlflow-function-duration"]["Threshold"] == 12_000
    missing = {name: one["TreatMissingData"] for name, one in found.items()}
    assert {name for name, value in missing.items() if value == "notBreaching"} == {
        f"{NAME}-mlflow-{part}"
        for part in ("function-errors", "function-duration", "endpoint-errors")
    }
    assert set(missing.values()) == {"missing", "notBreaching"}


def test_resources_have_the_tags_of_the_deployment(aws: LocalAws) -> None:
    cloudwatch, sns, client = (aws.client(name) for name in ("cloudwatch", "sns", "budgets"))
    arn = alarms(aws)[f"{NAME}-mlflow-host-status"]["AlarmArn"]
    budget = f"arn:aws:budgets::{ACCOUNT}:budget/{BUDGET}"
    for tags in (
        cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"],
        sns.list_tags_for_resource(ResourceArn=TOPIC)["Tags"],
        client.list_tags_for_resource(ResourceARN=budget)["ResourceTags"],
    ):
        assert {"Key": "Deployment", "Value": NAME} in tags


def test_topic_lets_only_alarms_and_budgets_of_the_account_publish(aws: LocalAws) -> None:
    attributes = aws.client("sns").get_topic_attributes(TopicArn=TOPIC)["Attributes"]
    statements = json.loads(attributes["Policy"])["Statement"]

    assert {one["Principal"]["Service"] for one in statements} == {
        "cloudwatch.amazonaws.com",
        "budgets.amazonaws.com",
    }
    for one in statements:
        assert one["Action"] == "sns:Publish"
        assert one["Resource"] == TOPIC
        assert one["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}
    assert statements[0]["Condition"]["ArnLike"] == {
        "aws:SourceArn": f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:{NAME}-mlflow-*"
    }


def test_budget_counts_the_costs_of_the_deployment(aws: LocalAws) -> None:
    client, names = aws.client("budgets"), {"AccountId": ACCOUNT, "BudgetName": BUDGET}
    budget = client.describe_budget(**names)["Budget"]
    found = client.describe_notifications_for_budget(**names)["Notifications"]

    assert budget["BudgetLimit"] == {"Amount": "80", "Unit": "USD"}
    assert budget["CostFilters"] == {"TagKeyValue": [f"user:Deployment${NAME}"]}
    assert {(one["NotificationType"], one["Threshold"]) for one in found} == {
        ("ACTUAL", 80),
        ("FORECASTED", 100),
    }


def test_cost_has_a_line_for_each_alarm(aws: LocalAws) -> None:
    cost = aws.play("playbooks/cost.yml", "-e", json.dumps({"deployment": NAME} | ON))

    assert cost.returncode == 0, cost.output
    assert re.search(rf"alarms +CloudWatch +{len(ALARMS)}[.]00 alarms +0[.]90 ", cost.output)


def test_changes_by_hand_and_of_variables_are_applied(aws: LocalAws) -> None:
    sns = aws.client("sns")
    sns.subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint=f"arn:aws:sqs:us-east-1:{ACCOUNT}:spy")
    sns.set_topic_attributes(TopicArn=TOPIC, AttributeName="KmsMasterKeyId", AttributeValue="a")
    aws.client("cloudwatch").disable_alarm_actions(AlarmNames=[f"{NAME}-mlflow-host-status"])
    changed = ON | {"aws_alarms_budget_usd": 100, "aws_ec2_instance_type": "m7i.large"}
    applied = play(aws, **changed)
    again = play(aws, **changed)

    assert applied.returncode == 0, applied.output
    assert applied.recap["changed"] == 3, applied.output
    assert again.recap["changed"] == 0, again.output
    assert alarms(aws).keys() == ALARMS - {f"{NAME}-mlflow-host-credits"}
    assert alarms(aws)[f"{NAME}-mlflow-host-status"]["ActionsEnabled"]
    subscriptions = sns.list_subscriptions_by_topic(TopicArn=TOPIC)["Subscriptions"]
    assert [one["Protocol"] for one in subscriptions] == ["email"]


@pytest.mark.slow
def test_budget_of_zero_is_deleted(aws: LocalAws) -> None:
    without = ON | {"aws_alarms_budget_usd": 0}
    deleted = play(aws, **without)
    again = play(aws, **without)

    assert deleted.recap["changed"] == 2, deleted.output
    assert again.recap["changed"] == 0, again.output
    assert budgets(aws) == []


def test_disabled_alarms_are_deleted(aws: LocalAws) -> None:
    created = play(aws, **ON)
    assert created.returncode == 0, created.output
    planned = play(aws, "--check")
    still = (set(alarms(aws)), topics(aws), budgets(aws))
    deleted = play(aws)
    again = play(aws)

    assert "3 to delete" in planned.output, planned.output
    assert still == (ALARMS, [TOPIC], [BUDGET])
    assert deleted.recap["changed"] == 3, deleted.output
    assert again.recap["changed"] == 0, again.output
    assert (alarms(aws), topics(aws), budgets(aws)) == ({}, [], [])


def test_account_without_rights_is_told_which_variable_to_set(aws: LocalAws) -> None:
    with aws.denied("budgets:*"):
        budget = refusal(aws, "playbooks/preflight.yml", **ON)
    with aws.denied("sns:*", "budgets:*"):
        topic = refusal(aws, CHECK, **ON)
        off = play(aws)

    assert "Set aws_alarms_budget_usd to 0" in budget
    assert "Set aws_alarms_enabled to false" in topic
    assert "denies this user budgets and sns" in topic
    assert off.returncode == 0, off.output


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"aws_alarms_subscriptions": []}, "aws_alarms_subscriptions: an empty list is not"),
        (
            {"aws_alarms_subscriptions": [{"protocol": "https", "endpoint": "http://a.example"}]},
            "'http://a.example' is not a valid endpoint of protocol https",
        ),
        (
            {"aws_alarms_kms_key": "alias/aws/sns"},
            "aws_alarms_kms_key: alias/aws/sns is not a valid key",
        ),
        ({"aws_alarms_budget_usd": -1}, "aws_alarms_budget_usd: -1"),
        (
            {"aws_alarms_database_storage_gib": 21},
            "aws_alarms_database_storage_gib: 21 is not a valid size",
        ),
    ],
    ids=["nobody", "plain http", "key of AWS", "negative budget", "more than the storage"],
)
def test_invalid_setting_is_refused(aws: LocalAws, variables: dict[str, Any], message: str) -> None:
    assert message in refusal(aws, CHECK, **(ON | variables))


def test_recorded_calls_of_alarms_equal_the_actions_of_the_policy(aws: LocalAws) -> None:
    """One of the last, as all that is called by then counts."""
    files = ROOT / "docs/iam/actions"
    life, expected = ((files / name).read_text().split() for name in ("life.txt", "alarms.txt"))
    beyond = [action for action in aws.actions if action not in life]

    assert beyond == expected, "\n".join(beyond)


def test_policy_without_one_action_of_alarms_refuses_a_call(aws: LocalAws) -> None:
    needed = (ROOT / "docs/iam/actions/alarms.txt").read_text().split()
    table = mutate(json.loads(deploy_policy(NAME)), aws.permissions_of("user/deployer"))
    found = rows({row: types for row, types in table.items() if row[1] in needed})

    assert "" not in {types for row, types in table.items() if row[1] in needed}, "\n".join(found)
    assert found == documented("Alarms"), "\n".join(found)
