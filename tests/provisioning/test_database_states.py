"""Playbooks meet a database that is not available."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from tests.conftest import ROOT, LocalAws, started

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

NAME = "dbstates"
INSTANCE = f"{NAME}-mlflow"


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    yield from started(
        LocalAws(
            ROOT / ".cache/database-states",
            5575,
            {"deployment": NAME, "monitoring_enabled": False},
            # So that the playbooks meet the states in which RDS is at work.
            {"LOCAL_AWS_RDS_SECONDS": "20", "LOCAL_AWS_RDS_MODIFY_SECONDS": "6"},
        )
    )


def start_creation(aws: LocalAws) -> None:
    """Run the playbooks up to the one that begins to create the database."""
    for name in ("vpc", "secrets", "s3", "iam", "rds"):
        play = aws.play(f"playbooks/{name}.yml")
        assert play.returncode == 0, play.output


def status(aws: LocalAws) -> str:
    instances = aws.client("rds").describe_db_instances(DBInstanceIdentifier=INSTANCE)
    return str(instances["DBInstances"][0]["DBInstanceStatus"])


def snapshots(aws: LocalAws) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = aws.client("rds").describe_db_snapshots(SnapshotType="manual")[
        "DBSnapshots"
    ]
    return found


def available(aws: LocalAws) -> dict[str, Any]:
    rds = aws.client("rds")
    rds.get_waiter("db_instance_available").wait(
        DBInstanceIdentifier=INSTANCE, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    [found] = rds.describe_db_instances(DBInstanceIdentifier=INSTANCE)["DBInstances"]
    return dict(found)


def test_destroy_while_the_database_is_created_keeps_a_final_snapshot(aws: LocalAws) -> None:
    start_creation(aws)
    before = status(aws)

    play = aws.play("playbooks/destroy.yml", "-e", f"confirm={NAME}")

    assert before == "creating"
    assert play.returncode == 0, play.output
    [snapshot] = snapshots(aws)
    assert snapshot["DBSnapshotIdentifier"].startswith(f"{INSTANCE}-final-")
    assert snapshot["Status"] == "available"


def test_site_waits_for_a_database_that_is_modified(aws: LocalAws) -> None:
    start_creation(aws)
    rds = aws.client("rds")
    available(aws)
    rds.modify_db_instance(
        DBInstanceIdentifier=INSTANCE, BackupRetentionPeriod=3, ApplyImmediately=True
    )
    before = status(aws)

    play = aws.play("playbooks/rds.yml")

    assert before == "modifying"
    assert play.returncode == 0, play.output
    assert available(aws)["BackupRetentionPeriod"] == 7


def force_tls(aws: LocalAws, value: str, method: str) -> None:
    [group] = available(aws)["DBParameterGroups"]
    aws.client("rds").modify_db_parameter_group(
        DBParameterGroupName=group["DBParameterGroupName"],
        Parameters=[
            {"ParameterName": "rds.force_ssl", "ParameterValue": value, "ApplyMethod": method}
        ],
    )


def wait_in_sync(aws: LocalAws) -> None:
    deadline = time.monotonic() + 30
    while available(aws)["DBParameterGroups"][0]["ParameterApplyStatus"] != "in-sync":
        assert time.monotonic() < deadline
        time.sleep(0.5)


def reached(aws: LocalAws, mode: str) -> str:
    """Say why a connection of that mode fails."""
    with pytest.raises(psycopg2.OperationalError) as refusal:
        psycopg2.connect(
            host=aws.door(available(aws)["Endpoint"]["Address"]),
            user="x",
            password="x",
            sslmode=mode,
        )
    return str(refusal.value)


def test_change_of_a_dynamic_parameter_is_in_force_without_a_reboot(aws: LocalAws) -> None:
    force_tls(aws, "0", "immediate")

    play = aws.play("playbooks/rds.yml")

    assert play.returncode == 0, play.output
    wait_in_sync(aws)
    assert "no encryption" in reached(aws, "disable")


def test_parameter_that_waits_for_a_reboot_is_planned_and_needs_consent(aws: LocalAws) -> None:
    force_tls(aws, "0", "immediate")
    wait_in_sync(aws)
    force_tls(aws, "1", "pending-reboot")
    before = reached(aws, "disable")

    planned = aws.play("playbooks/rds.yml", "--check", "--diff")
    stopped = aws.play("playbooks/rds.yml")
    rebooted = aws.play("playbooks/rds.yml", "-e", "aws_rds_reboot=true")
    again = aws.play("playbooks/rds.yml")

    assert "no encryption" not in before
    assert "pending-reboot" in planned.output
    assert planned.recap["changed"] > 0
    assert stopped.returncode != 0
    assert "-e aws_rds_reboot=true" in stopped.output
    assert rebooted.returncode == 0, rebooted.output
    assert "no encryption" in reached(aws, "disable")
    assert again.returncode == 0, again.output
    assert again.recap["changed"] == 0, again.output


def test_purge_of_a_stopped_database_leaves_nothing(aws: LocalAws) -> None:
    rds = aws.client("rds")
    available(aws)
    rds.stop_db_instance(DBInstanceIdentifier=INSTANCE)

    play = aws.play("playbooks/destroy.yml", "-e", f"confirm={NAME}", "-e", "purge=true")

    assert play.returncode == 0, play.output
    assert aws.resources(NAME) == []
    assert snapshots(aws) == []
