"""Another version of PostgreSQL: where RDS refuses it, what it keeps, and what it leaves behind."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from botocore.exceptions import ClientError

from tests.local_aws.rds_instances import PASSWORD, SECONDS, Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalAws

GROUP = "upgraded"
OLD, NEW = "17.6", "18.1"
OPENING = datetime.min.replace(tzinfo=UTC)


class Upgraded(Database):
    """An instance under test."""

    def __init__(self, aws: LocalAws, name: str) -> None:
        super().__init__(aws)
        self.name = name

    def create(self, network: dict[str, Any], days: int, version: str = OLD) -> None:
        """Create it with a parameter group of its own, and data."""
        self.client.create_db_instance(
            DBInstanceIdentifier=self.name,
            DBInstanceClass="db.t4g.micro",
            Engine="postgres",
            EngineVersion=version,
            AllocatedStorage=20,
            MasterUsername="master",
            MasterUserPassword=PASSWORD,
            DBName="first",
            DBSubnetGroupName=GROUP,
            DBParameterGroupName=f"{GROUP}-{version.partition('.')[0]}",
            VpcSecurityGroupIds=[network["group"]],
            BackupRetentionPeriod=days,
        )
        self.wait("available")
        self.ask(
            "CREATE TABLE numbers AS SELECT n, md5(n::text) AS hash FROM generate_series(1,5000) n;"
            "ALTER TABLE numbers ADD PRIMARY KEY (n); ANALYZE numbers;"
            "CREATE ROLE reader LOGIN PASSWORD 'reader-password'; GRANT SELECT ON numbers TO reader"
        )

    def modify(self, **wanted: Any) -> dict[str, Any]:
        """Ask for a change, at once unless it says otherwise."""
        found: dict[str, Any] = self.client.modify_db_instance(
            **{"DBInstanceIdentifier": self.name, "ApplyImmediately": True, **wanted}
        )["DBInstance"]
        return found

    def settle(self) -> dict[str, Any]:
        """Wait until nothing is pending and the instance is available."""
        deadline = time.monotonic() + 2 * SECONDS
        while True:
            found = self.describe()
            if found["DBInstanceStatus"] == "available" and not found["PendingModifiedValues"]:
                return found
            assert time.monotonic() < deadline, found["DBInstanceStatus"]
            time.sleep(0.1)

    def checksum(self) -> Any:
        """Return the checksum of all rows."""
        return self.ask("SELECT md5(string_agg(numbers::text, ',' ORDER BY n)) FROM numbers")

    def snapshots(self, kind: str) -> list[str]:
        """Return the snapshots of a type, the oldest first."""
        found = self.client.describe_db_snapshots(
            DBInstanceIdentifier=self.name, SnapshotType=kind
        )["DBSnapshots"]
        found.sort(key=lambda one: one["SnapshotCreateTime"])
        return [one["DBSnapshotIdentifier"] for one in found]


@pytest.fixture(scope="module")
def groups(aws: LocalAws, network: dict[str, Any]) -> Iterator[str]:
    client = aws.client("rds")
    client.create_db_subnet_group(
        DBSubnetGroupName=GROUP, DBSubnetGroupDescription="two", SubnetIds=network["subnets"]
    )
    for major in (17, 18):
        client.create_db_parameter_group(
            DBParameterGroupName=f"{GROUP}-{major}",
            DBParameterGroupFamily=f"postgres{major}",
            Description="the test's own",
        )
        client.modify_db_parameter_group(
            DBParameterGroupName=f"{GROUP}-{major}",
            Parameters=[
                {
                    "ParameterName": "log_min_duration_statement",
                    "ParameterValue": "1234",
                    "ApplyMethod": "immediate",
                }
            ],
        )
    yield GROUP
    for major in (17, 18):
        client.delete_db_parameter_group(DBParameterGroupName=f"{GROUP}-{major}")
    client.delete_db_subnet_group(DBSubnetGroupName=GROUP)


@contextlib.contextmanager
def deleted(instance: Upgraded) -> Iterator[Upgraded]:
    """Delete an instance at the end."""
    try:
        yield instance
    finally:
        instance.settle()
        instance.delete()


@pytest.fixture(scope="module")
def database(aws: LocalAws, network: dict[str, Any], groups: str) -> Iterator[Upgraded]:
    """An instance without backups, which the tests only try to upgrade."""
    made = Upgraded(aws, f"{groups}-not")
    made.create(network, 0)
    with deleted(made):
        yield made


@dataclass(frozen=True)
class Change:
    """An upgrade to another major version, seen from its client.

    Attributes
    ----------
    rows
        The checksum of all rows before it.
    answer
        RDS's answer to the request.
    refusal
        RDS's answer to another request meanwhile.
    found
        The instance afterwards.
    """

    database: Upgraded
    rows: Any
    answer: dict[str, Any]
    refusal: str
    found: dict[str, Any]


@pytest.fixture(scope="module")
def change(aws: LocalAws, network: dict[str, Any], groups: str) -> Iterator[Change]:
    """An instance with backups after its upgrade."""
    database = Upgraded(aws, groups)
    database.create(network, 1)
    with deleted(database):
        rows = database.checksum()
        answer = database.modify(
            EngineVersion="18", AllowMajorVersionUpgrade=True, DBParameterGroupName=f"{GROUP}-18"
        )
        database.wait("upgrading")
        with pytest.raises(ClientError) as refused:
            database.modify(BackupRetentionPeriod=2)
        yield Change(database, rows, answer, str(refused.value), database.settle())


def test_versions_name_their_targets_and_families(aws: LocalAws) -> None:
    client = aws.client("rds")
    found = {
        one["EngineVersion"]: one
        for one in client.describe_db_engine_versions(Engine="postgres")["DBEngineVersions"]
    }
    targets = {
        version: {
            to["EngineVersion"]: to["IsMajorVersionUpgrade"] for to in one["ValidUpgradeTarget"]
        }
        for version, one in found.items()
    }
    assert targets["17.6"] == {"17.7": False, "18.1": True}
    assert targets["18.1"] == {}
    assert found["18.1"]["DBParameterGroupFamily"] == "postgres18"
    [default] = client.describe_db_engine_versions(Engine="postgres", DefaultOnly=True)[
        "DBEngineVersions"
    ]
    assert default["MajorEngineVersion"] == "17"
    of_family = client.describe_db_engine_versions(DBParameterGroupFamily="postgres18")
    assert {one["MajorEngineVersion"] for one in of_family["DBEngineVersions"]} == {"18"}


def test_new_instance_has_the_newer_major_version(
    aws: LocalAws, network: dict[str, Any], groups: str
) -> None:
    made = Upgraded(aws, f"{groups}-new")
    made.create(network, 0, "18")
    with deleted(made):
        assert made.describe()["EngineVersion"] == NEW
        ((version,),) = made.ask("SHOW server_version")
        assert version.startswith("18.")
        assert made.ask("SHOW log_min_duration_statement") == [("1234ms",)]
        made.ask("CREATE EXTENSION pgcrypto")


WITH_GROUP = {"AllowMajorVersionUpgrade": True, "DBParameterGroupName": f"{GROUP}-18"}
# What is refused, with the message.
REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    (
        {"EngineVersion": NEW, "DBParameterGroupName": f"{GROUP}-18"},
        "The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version.",
    ),
    (
        {"EngineVersion": NEW, "AllowMajorVersionUpgrade": True},
        (
            f"The current DB instance parameter group {GROUP}-17 is custom. You must explicitly "
            "specify a new DB instance parameter group, either default or custom, for the engine "
            "version upgrade."
        ),
    ),
    (
        {"EngineVersion": NEW, **WITH_GROUP, "DBParameterGroupName": f"{GROUP}-17"},
        (
            f"The parameter group {GROUP}-17 with DBParameterGroupFamily postgres17 can't be used "
            "for this instance. Please use a parameter group with DBParameterGroupFamily "
            "postgres18."
        ),
    ),
    (
        {"DBParameterGroupName": f"{GROUP}-18"},
        (
            f"The parameter group {GROUP}-18 with DBParameterGroupFamily postgres18 can't be used "
            "for this instance. Please use a parameter group with DBParameterGroupFamily "
            "postgres17."
        ),
    ),
    ({"EngineVersion": "17.5"}, f"Cannot upgrade postgres from {OLD} to 17.5"),
    ({"EngineVersion": "16.4"}, "Cannot find version 16.4 for postgres"),
)


@pytest.mark.parametrize(("wanted", "message"), REFUSED)
def test_upgrade_that_rds_does_not_make_is_refused(
    database: Upgraded, wanted: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError) as refused:
        database.modify(**wanted)
    assert refused.value.response["Error"]["Code"] == "InvalidParameterCombination"
    assert refused.value.response["Error"]["Message"] == message
    assert database.describe()["EngineVersion"] == OLD


def test_used_parameter_group_is_not_deleted(database: Upgraded) -> None:
    with pytest.raises(ClientError) as refused:
        database.client.delete_db_parameter_group(DBParameterGroupName=f"{GROUP}-17")
    assert refused.value.response["Error"]["Code"] == "InvalidDBParameterGroupState"


def test_database_that_pg_upgrade_refuses_keeps_its_version(database: Upgraded) -> None:
    database.ask("CREATE TABLE obstacle (language regconfig)")
    rows = database.checksum()
    database.modify(EngineVersion=NEW, **WITH_GROUP)
    found = database.settle()
    assert found["EngineVersion"] == OLD
    assert found["DBParameterGroups"][0]["DBParameterGroupName"] == f"{GROUP}-17"
    assert database.checksum() == rows
    database.ask("DROP TABLE obstacle")


def test_upgrade_waits_for_the_window_until_a_change_is_immediate(database: Upgraded) -> None:
    waiting = database.modify(EngineVersion="17.7", ApplyImmediately=False)
    assert waiting["PendingModifiedValues"] == {"EngineVersion": "17.7"}
    database.wait("available")
    assert database.describe()["EngineVersion"] == OLD
    database.modify(BackupRetentionPeriod=0)
    assert database.settle()["EngineVersion"] == "17.7"
    assert database.snapshots("automated") == []


def test_major_upgrade_keeps_all_data_and_roles(change: Change) -> None:
    ((version,),) = change.database.ask("SHOW server_version")
    assert version.startswith("18.")
    assert change.found["EngineVersion"] == NEW
    assert change.database.checksum() == change.rows
    reader = {"user": "reader", "password": "reader-password"}
    assert change.database.ask("SELECT count(*) FROM numbers", **reader) == [(5000,)]
    with pytest.raises(psycopg2.OperationalError, match="no encryption"):
        change.database.connect(mode="disable")


def test_upgrade_is_pending_while_it_runs_and_refuses_other_changes(change: Change) -> None:
    assert change.answer["PendingModifiedValues"] == {"EngineVersion": NEW}
    assert change.answer["EngineVersion"] == OLD
    assert "not in available state" in change.refusal
    assert change.found["PendingModifiedValues"] == {}


def test_group_of_the_new_family_is_in_force_after_a_reboot(change: Change) -> None:
    (group,) = change.found["DBParameterGroups"]
    assert group == {
        "DBParameterGroupName": f"{GROUP}-18",
        "ParameterApplyStatus": "pending-reboot",
    }
    change.database.client.reboot_db_instance(DBInstanceIdentifier=change.database.name)
    (group,) = change.database.settle()["DBParameterGroups"]
    assert group["ParameterApplyStatus"] == "in-sync"
    assert change.database.ask("SHOW log_min_duration_statement") == [("1234ms",)]


def test_upgraded_instance_does_not_go_back(change: Change) -> None:
    with pytest.raises(ClientError, match=re.escape("Cannot upgrade postgres from 18.1 to 17.7")):
        change.database.modify(EngineVersion="17.7", AllowMajorVersionUpgrade=True)


def test_snapshot_of_before_an_upgrade_restores_the_former_version(
    aws: LocalAws, network: dict[str, Any], change: Change
) -> None:
    _, before, after = change.database.snapshots("automated")
    assert before.startswith("rds:preupgrade-upgraded-17-6-to-18-1-")
    assert after.startswith("rds:upgraded-")
    former = Upgraded(aws, "upgraded-former")
    former.client.restore_db_instance_from_db_snapshot(
        DBInstanceIdentifier=former.name,
        DBSnapshotIdentifier=before,
        DBSubnetGroupName=GROUP,
        VpcSecurityGroupIds=[network["group"]],
    )
    with deleted(former):
        former.settle()
        assert former.describe()["EngineVersion"] == OLD
        assert former.checksum() == change.rows


def test_upgraded_instance_can_be_restored_to_a_time_after_its_upgrade(
    aws: LocalAws, network: dict[str, Any], change: Change
) -> None:
    database, later = change.database, Upgraded(aws, "upgraded-later")
    database.ask("CREATE TABLE later AS SELECT 1 AS one")
    committed = datetime.now(UTC)
    deadline = time.monotonic() + SECONDS
    while (latest := database.describe().get("LatestRestorableTime", OPENING)) <= committed:
        assert time.monotonic() < deadline, latest
        time.sleep(0.2)
    later.client.restore_db_instance_to_point_in_time(
        SourceDBInstanceIdentifier=database.name,
        TargetDBInstanceIdentifier=later.name,
        UseLatestRestorableTime=True,
        DBSubnetGroupName=GROUP,
        VpcSecurityGroupIds=[network["group"]],
    )
    with deleted(later):
        later.settle()
        assert later.describe()["EngineVersion"] == NEW
        assert later.ask("SELECT one FROM later") == [(1,)]
        assert later.checksum() == change.rows
