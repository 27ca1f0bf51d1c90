"""RDS: an instance is restored to a point in time from its own backup and write-ahead log."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.rds_instances import PASSWORD, SECONDS, Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalAws

NAME = "written"
SECOND = timedelta(seconds=1)


class Written(Database):
    """An instance with backups."""

    name = NAME

    def write(self, x: int) -> datetime:
        """Commit a row; return a time after that."""
        self.ask(f"INSERT INTO written SELECT {x:d}")
        return datetime.now(UTC)

    def wait_until_restorable(self, moment: datetime) -> datetime:
        """Wait until the instance can be restored to `moment`; return until when it can be."""
        deadline = time.monotonic() + SECONDS
        while (latest := self.describe().get("LatestRestorableTime")) is None or latest < moment:
            assert time.monotonic() < deadline, latest
            time.sleep(0.1)
        assert isinstance(latest, datetime)
        return latest

    def restore(self, name: str, **options: Any) -> Database:
        """Restore it as another instance, and wait for that."""
        self.client.restore_db_instance_to_point_in_time(
            SourceDBInstanceIdentifier=self.name,
            TargetDBInstanceIdentifier=name,
            DBSubnetGroupName="points",
            **options,
        )
        restored = Database(self.aws)
        restored.name = name
        restored.wait("available")
        return restored

    def rows_of(self, name: str, **options: Any) -> list[int]:
        """Restore it as another instance; return the rows of that, which is deleted again."""
        restored = self.restore(name, **options)
        rows = [x for (x,) in restored.ask("SELECT x FROM written ORDER BY x")]
        restored.delete()
        return rows

    @property
    def backups(self) -> list[dict[str, Any]]:
        """The automated backups of the instance, as described."""
        answer = self.client.describe_db_instance_automated_backups(DBInstanceIdentifier=self.name)
        found: list[dict[str, Any]] = answer["DBInstanceAutomatedBackups"]
        return found


@pytest.fixture(scope="module")
def written(aws: LocalAws, network: dict[str, Any]) -> Iterator[Written]:
    made = Written(aws)
    made.client.create_db_subnet_group(
        DBSubnetGroupName="points",
        DBSubnetGroupDescription="points",
        SubnetIds=network["subnets"],
    )
    made.client.create_db_instance(
        DBInstanceIdentifier=NAME,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="master",
        MasterUserPassword=PASSWORD,
        DBName="first",
        DBSubnetGroupName="points",
        VpcSecurityGroupIds=[network["group"]],
        BackupRetentionPeriod=1,
    )
    made.wait("available")
    made.ask("CREATE TABLE written (x int)")
    yield made
    made.delete()
    made.client.delete_db_subnet_group(DBSubnetGroupName="points")


def test_restore_to_a_time_between_two_commits_has_the_first_alone(written: Written) -> None:
    # RestoreTime has whole seconds: the next one after the commit.
    moment = written.write(1).replace(microsecond=0) + SECOND
    time.sleep((moment + SECOND - datetime.now(UTC)).total_seconds())
    written.write(2)
    latest = written.wait_until_restorable(moment)

    assert written.rows_of("between", RestoreTime=moment) == [1]
    assert latest.microsecond == 0
    assert written.ask("SELECT x FROM written ORDER BY x") == [(1,), (2,)]


def test_restore_to_the_latest_time_has_all_that_was_committed_before(written: Written) -> None:
    written.wait_until_restorable(written.write(3))
    # Nothing is committed by clients after that.
    restored = written.restore("latest", UseLatestRestorableTime=True)
    described = restored.describe()
    rows = restored.ask("SELECT x FROM written ORDER BY x")
    # The restored instance has backups of its own.
    restored.ask("INSERT INTO written VALUES (4)")
    restored.delete()

    assert rows[-1] == (3,)
    assert described["BackupRetentionPeriod"] == 1
    assert described["DBParameterGroups"][0]["DBParameterGroupName"] == "default.postgres17"
    assert written.ask("SELECT max(x) FROM written") == [(3,)]


def test_restored_instance_can_be_restored_in_its_turn(written: Written) -> None:
    written.wait_until_restorable(written.write(5))
    child = Written(written.aws)
    child.name = written.restore("child", UseLatestRestorableTime=True).name
    child.wait_until_restorable(child.write(6))
    rows = child.rows_of("grandchild", UseLatestRestorableTime=True)
    child.delete()

    assert rows[-2:] == [5, 6]


def test_automated_backup_describes_the_window(written: Written) -> None:
    latest = written.wait_until_restorable(datetime.now(UTC).replace(microsecond=0))
    [backup] = written.backups
    window = backup["RestoreWindow"]

    assert backup["Status"] == "active"
    assert backup["DbiResourceId"] == written.describe()["DbiResourceId"]
    assert window["EarliestTime"] < latest <= window["LatestTime"]
    with pytest.raises(ClientError, match="DBInstanceAutomatedBackupNotFound"):
        written.client.describe_db_instance_automated_backups(DbiResourceId="db-UNKNOWN")


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        ({}, "InvalidParameterCombination", "must be specified"),
        (
            {"UseLatestRestorableTime": True, "RestoreTime": datetime(2026, 1, 1, tzinfo=UTC)},
            "InvalidParameterCombination",
            "together",
        ),
        (
            {"RestoreTime": datetime(2099, 1, 1, tzinfo=UTC)},
            "InvalidParameterValue",
            "cannot be restored to a time later than 20",
        ),
        (
            {"RestoreTime": datetime(2020, 1, 1, tzinfo=UTC)},
            "InvalidParameterValue",
            "because its backup retention period is set to 1 days",
        ),
        (
            {"UseLatestRestorableTime": True, "TargetDBInstanceIdentifier": NAME},
            "DBInstanceAlreadyExists",
            "already exists",
        ),
        (
            {"UseLatestRestorableTime": True, "TargetDBInstanceIdentifier": "a--b"},
            "InvalidParameterValue",
            "not a valid identifier",
        ),
        (
            {"UseLatestRestorableTime": True, "SourceDBInstanceIdentifier": "unknown"},
            "DBInstanceNotFound",
            "not found",
        ),
    ],
)
def test_restore_to_an_invalid_time_or_name_is_refused(
    written: Written, options: dict[str, Any], code: str, reason: str
) -> None:
    written.wait_until_restorable(datetime.now(UTC) - SECOND)
    names = {"SourceDBInstanceIdentifier": NAME, "TargetDBInstanceIdentifier": "refused"}
    with pytest.raises(ClientError, match=reason) as caught:
        written.client.restore_db_instance_to_point_in_time(
            **(names | {"DBSubnetGroupName": "points"} | options)
        )
    assert caught.value.response["Error"]["Code"] == code
    assert "refused" not in str(written.client.describe_db_instances())


def test_instance_without_backups_has_no_window_and_keeps_no_log(written: Written) -> None:
    def set_days(days: int) -> None:
        written.client.modify_db_instance(
            DBInstanceIdentifier=NAME, BackupRetentionPeriod=days, ApplyImmediately=True
        )
        written.wait("available")

    archive = written.aws.directory / "rds" / written.describe()["DbiResourceId"] / "archive"
    assert list(archive.iterdir())
    set_days(0)
    written.write(7)
    without = written.describe()
    kept = list(archive.iterdir())
    with pytest.raises(ClientError, match="PointInTimeRestoreNotEnabled"):
        written.restore("refused", UseLatestRestorableTime=True)
    backups = written.backups
    set_days(1)
    written.wait_until_restorable(written.write(8))

    assert "LatestRestorableTime" not in without
    assert (kept, backups) == ([], [])
    assert written.rows_of("again", UseLatestRestorableTime=True)[-2:] == [7, 8]
