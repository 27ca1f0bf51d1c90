"""Playbooks meet a database that is not available."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
            {"deployment": NAME},
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
    rds.get_waiter("db_instance_available").wait(
        DBInstanceIdentifier=INSTANCE, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    rds.modify_db_instance(
        DBInstanceIdentifier=INSTANCE, BackupRetentionPeriod=3, ApplyImmediately=True
    )
    before = status(aws)

    play = aws.play("playbooks/rds.yml")

    assert before == "modifying"
    assert play.returncode == 0, play.output
    [found] = rds.describe_db_instances(DBInstanceIdentifier=INSTANCE)["DBInstances"]
    assert found["BackupRetentionPeriod"] == 7


def test_purge_of_a_stopped_database_leaves_nothing(aws: LocalAws) -> None:
    rds = aws.client("rds")
    rds.get_waiter("db_instance_available").wait(
        DBInstanceIdentifier=INSTANCE, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    rds.stop_db_instance(DBInstanceIdentifier=INSTANCE)

    play = aws.play("playbooks/destroy.yml", "-e", f"confirm={NAME}", "-e", "purge=true")

    assert play.returncode == 0, play.output
    assert aws.resources(NAME) == []
    assert snapshots(aws) == []
