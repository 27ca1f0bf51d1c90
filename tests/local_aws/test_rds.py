"""RDS: what is reported is a real server."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from botocore.exceptions import ClientError

from local_aws.machine.podman import Podman
from local_aws.settings import Settings
from tests.local_aws.rds_instances import PASSWORD, Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalAws


@pytest.fixture(scope="module")
def prerequisites(aws: LocalAws, network: dict[str, Any]) -> dict[str, Any]:
    client = aws.client("rds")
    client.create_db_subnet_group(
        DBSubnetGroupName="private",
        DBSubnetGroupDescription="private",
        SubnetIds=network["subnets"],
    )
    client.create_db_parameter_group(
        DBParameterGroupName="parameters",
        DBParameterGroupFamily="postgres17",
        Description="parameters",
    )
    client.modify_db_parameter_group(
        DBParameterGroupName="parameters",
        Parameters=[
            {
                "ParameterName": name,
                "ParameterValue": value,
                "ApplyMethod": "pending-reboot",
            }
            for name, value in (("rds.force_ssl", "1"), ("max_connections", "37"))
        ],
    )
    return {
        "DBInstanceIdentifier": Database.name,
        "DBInstanceClass": "db.t4g.micro",
        "Engine": "postgres",
        "EngineVersion": "17",
        "AllocatedStorage": 20,
        "StorageType": "gp3",
        "StorageEncrypted": True,
        "MasterUsername": "master",
        "MasterUserPassword": PASSWORD,
        "DBName": "first",
        "DBSubnetGroupName": "private",
        "DBParameterGroupName": "parameters",
        "VpcSecurityGroupIds": [network["group"]],
        "PubliclyAccessible": False,
    }


@pytest.fixture(scope="module")
def database(aws: LocalAws, prerequisites: dict[str, Any]) -> Iterator[Database]:
    made = Database(aws)
    created = made.client.create_db_instance(**prerequisites)["DBInstance"]
    assert created["DBInstanceStatus"] == "creating"
    assert "Endpoint" not in created
    made.wait("available")
    yield made
    made.client.delete_db_instance(DBInstanceIdentifier=made.name, SkipFinalSnapshot=True)
    made.client.get_waiter("db_instance_deleted").wait(
        DBInstanceIdentifier=made.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    assert list((aws.directory / "rds").iterdir()) == []
    assert aws.client("ec2").describe_network_interfaces()["NetworkInterfaces"] == []


def test_server_of_the_asked_version_answers_under_the_reported_address(
    database: Database,
) -> None:
    described = database.describe()
    assert described["EngineVersion"].startswith("17.")
    assert described["Endpoint"]["Address"].startswith("10.213.1.")
    ((version,),) = database.ask("SHOW server_version")
    assert version.startswith("17.")


def test_master_is_not_a_superuser_and_owns_its_database(database: Database) -> None:
    rights = database.ask(
        "SELECT rolsuper, rolcreatedb, rolcreaterole, pg_has_role('rds_superuser', 'member') "
        "FROM pg_roles WHERE rolname = current_user"
    )
    assert rights == [(False, True, True, True)]
    owners = database.ask("SELECT datname, pg_get_userbyid(datdba) FROM pg_database")
    assert dict(owners)["first"] == "master"
    assert dict(owners)["template1"] == "rdsadmin"


def test_master_can_create_roles_databases_and_tables(database: Database) -> None:
    connection = database.connect()
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("CREATE ROLE reader LOGIN PASSWORD 'reader-password'")
    cursor.execute("CREATE DATABASE second")
    cursor.execute("CREATE TABLE seen (x int); GRANT SELECT ON seen TO reader")
    connection.close()
    assert database.ask("SELECT * FROM seen", user="reader", password="reader-password") == []


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"mode": "disable"}, "no encryption"),
        ({"password": "wrong"}, "password authentication failed"),
        ({"user": "rdsadmin"}, "rejects connection"),
    ],
)
def test_connection_is_refused(database: Database, how: dict[str, str], reason: str) -> None:
    with pytest.raises(psycopg2.OperationalError, match=reason):
        database.connect(**how)


def test_parameters_of_the_group_are_in_force(database: Database) -> None:
    assert database.ask("SHOW max_connections") == [("37",)]
    assert database.ask("SHOW shared_buffers") == [("256MB",)]


def test_dynamic_parameter_is_effective_at_once(database: Database) -> None:
    def force(value: str) -> None:
        database.client.modify_db_parameter_group(
            DBParameterGroupName="parameters",
            Parameters=[
                {
                    "ParameterName": "rds.force_ssl",
                    "ParameterValue": value,
                    "ApplyMethod": "immediate",
                }
            ],
        )

    force("0")
    try:
        deadline = time.monotonic() + 5
        while True:
            try:
                database.connect(mode="disable").close()
                break
            except psycopg2.OperationalError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
    finally:
        force("1")


def apply_status(database: Database) -> str:
    [group] = database.describe()["DBParameterGroups"]
    return str(group["ParameterApplyStatus"])


def set_parameter(database: Database, name: str, value: str, method: str) -> None:
    database.client.modify_db_parameter_group(
        DBParameterGroupName="parameters",
        Parameters=[{"ParameterName": name, "ParameterValue": value, "ApplyMethod": method}],
    )


def test_parameter_set_as_pending_reboot_is_not_in_force_before_a_reboot(
    database: Database,
) -> None:
    set_parameter(database, "work_mem", "8192", "pending-reboot")
    # Reloading for another one must not bring it into force.
    set_parameter(database, "maintenance_work_mem", "131072", "immediate")
    deadline = time.monotonic() + 5
    while database.ask("SHOW maintenance_work_mem") != [("128MB",)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # The server has the value shortly before the job that brought it is done.
    while apply_status(database) == "applying":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    before = database.ask("SHOW work_mem"), apply_status(database)
    database.client.reboot_db_instance(DBInstanceIdentifier=Database.name)
    database.wait("available")

    assert before == ([("4MB",)], "pending-reboot")
    assert database.ask("SHOW work_mem") == [("8MB",)]
    assert apply_status(database) == "in-sync"


def test_another_parameter_group_is_not_in_force_before_a_reboot(database: Database) -> None:
    def attach(name: str) -> None:
        database.client.modify_db_instance(
            DBInstanceIdentifier=Database.name, DBParameterGroupName=name, ApplyImmediately=True
        )
        database.wait("available")

    database.client.create_db_parameter_group(
        DBParameterGroupName="others", DBParameterGroupFamily="postgres17", Description="others"
    )
    attach("others")
    try:
        assert database.ask("SHOW max_connections") == [("37",)]
        assert apply_status(database) == "pending-reboot"
    finally:
        attach("parameters")
        database.client.delete_db_parameter_group(DBParameterGroupName="others")
    assert apply_status(database) == "in-sync"


def test_every_parameter_of_the_engine_is_listed(database: Database) -> None:
    listed = {
        found["ParameterName"]: found
        for found in database.client.get_paginator("describe_db_parameters")
        .paginate(DBParameterGroupName="parameters")
        .build_full_result()["Parameters"]
    }
    assert listed["max_connections"]["ParameterValue"] == "37"
    assert listed["max_connections"]["ApplyType"] == "static"
    assert listed["work_mem"]["IsModifiable"]
    assert not listed["fsync"]["IsModifiable"]


@pytest.mark.parametrize(
    ("name", "value", "method", "reason"),
    [
        ("no_such_thing", "1", "immediate", "Could not find parameter"),
        ("fsync", "0", "immediate", "cannot be modified"),
        ("max_connections", "many", "pending-reboot", "Invalid parameter value"),
        ("max_connections", "50", "immediate", "static parameter"),
    ],
)
def test_parameter_invalid_is_refused(
    database: Database, name: str, value: str, method: str, reason: str
) -> None:
    with pytest.raises(ClientError, match=reason):
        database.client.modify_db_parameter_group(
            DBParameterGroupName="parameters",
            Parameters=[{"ParameterName": name, "ParameterValue": value, "ApplyMethod": method}],
        )


def test_unknown_parameter_group_is_an_error(aws: LocalAws) -> None:
    with pytest.raises(ClientError, match="DBParameterGroupNotFound"):
        aws.client("rds").describe_db_parameter_groups(DBParameterGroupName="unknown")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"EngineVersion": "99.1"}, "Cannot find version 99.1 for postgres"),
        ({"Engine": "mysql"}, "InvalidParameterValue"),
        ({"DBSubnetGroupName": "unknown"}, "DBSubnetGroupNotFoundFault"),
        ({"DBParameterGroupName": "unknown"}, "DBParameterGroupNotFound"),
        ({"MasterUserPassword": "short"}, "shorter than 8"),
        ({"MasterUserPassword": "with space and more"}, "not a valid password"),
        ({"MasterUsername": "admin"}, "reserved word"),
        ({"DBInstanceIdentifier": Database.name}, "DBInstanceAlreadyExists"),
    ],
)
def test_create_instance_with_invalid_settings_is_refused(
    database: Database, prerequisites: dict[str, Any], wrong: dict[str, str], reason: str
) -> None:
    with pytest.raises(ClientError, match=reason):
        database.client.create_db_instance(
            **(prerequisites | {"DBInstanceIdentifier": "senseless"} | wrong)
        )
    names = [
        found["DBInstanceIdentifier"]
        for found in database.client.describe_db_instances()["DBInstances"]
    ]
    assert names == [Database.name]


def test_gp3_storage_reports_iops_and_throughput(database: Database) -> None:
    described = database.describe()
    assert (described["Iops"], described["StorageThroughput"]) == (3000, 125)


def test_authorities_and_versions_are_described(database: Database) -> None:
    certificates = database.client.describe_certificates()["Certificates"]
    names = {found["CertificateIdentifier"] for found in certificates}
    assert database.describe()["CACertificateIdentifier"] in names
    # Auditors read it without asking whether it is there.
    assert {found["CustomerOverride"] for found in certificates} == {False}
    versions = database.client.describe_db_engine_versions(Engine="postgres")["DBEngineVersions"]
    assert database.describe()["EngineVersion"] in {found["EngineVersion"] for found in versions}


def test_password_change_is_effective_in_postgresql(database: Database) -> None:
    def change(password: str) -> None:
        database.client.modify_db_instance(
            DBInstanceIdentifier=Database.name, MasterUserPassword=password, ApplyImmediately=True
        )
        database.wait("available")

    change("an0ther-password")
    try:
        database.connect(password="an0ther-password").close()
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            database.connect()
    finally:
        change(PASSWORD)


def test_password_change_of_a_busy_server_returns_modifying_and_waits_in_the_queue(
    database: Database,
) -> None:
    def change(password: str) -> str:
        changed = database.client.modify_db_instance(
            DBInstanceIdentifier=Database.name, MasterUserPassword=password, ApplyImmediately=True
        )
        return str(changed["DBInstance"]["DBInstanceStatus"])

    podman = Podman(Settings(data_dir=database.aws.directory))
    filtered = f"--filter=name=rds-{Database.name}-"
    [container] = podman.run("ps", filtered, "--format={{.Names}}").stdout.split()
    # PostgreSQL answers nobody until it goes on.
    podman.run("kill", "--signal=SIGSTOP", container)
    going_on = threading.Timer(5, podman.run, ("kill", "--signal=SIGCONT", container))
    going_on.start()
    try:
        began = time.monotonic()
        status = change("an0ther-password")
        seconds = time.monotonic() - began
    finally:
        going_on.join()
        database.wait("available")
    database.connect(password="an0ther-password").close()
    change(PASSWORD)
    database.wait("available")

    assert status == "modifying"
    assert seconds < 4


def test_delete_of_a_protected_instance_is_refused(database: Database) -> None:
    def protect(value: bool) -> None:  # noqa: FBT001 - as the API has it
        database.client.modify_db_instance(
            DBInstanceIdentifier=Database.name, DeletionProtection=value, ApplyImmediately=True
        )
        database.wait("available")

    protect(True)  # noqa: FBT003 - see above
    with pytest.raises(ClientError, match="protected"):
        database.client.delete_db_instance(
            DBInstanceIdentifier=Database.name, SkipFinalSnapshot=True
        )
    protect(False)  # noqa: FBT003 - see above


def test_stop_start_and_reboot_keep_the_data(database: Database) -> None:
    database.ask("CREATE TABLE kept AS SELECT 1 AS x")
    address = database.describe()["Endpoint"]["Address"]
    database.client.stop_db_instance(DBInstanceIdentifier=Database.name)
    database.wait("stopped")
    with pytest.raises(psycopg2.OperationalError):
        database.connect()
    with pytest.raises(ClientError, match="InvalidDBInstanceState"):
        database.client.reboot_db_instance(DBInstanceIdentifier=Database.name)
    database.client.start_db_instance(DBInstanceIdentifier=Database.name)
    database.wait("available")
    database.client.reboot_db_instance(DBInstanceIdentifier=Database.name)
    assert database.wait("available")["Endpoint"]["Address"] == address
    assert database.ask("SELECT x FROM kept") == [(1,)]


def take_snapshot(database: Database, name: str, **options: Any) -> dict[str, Any]:
    made: dict[str, Any] = database.client.create_db_snapshot(
        DBInstanceIdentifier=database.name, DBSnapshotIdentifier=name, **options
    )["DBSnapshot"]
    assert made["Status"] == "creating"
    database.client.get_waiter("db_snapshot_available").wait(
        DBSnapshotIdentifier=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    database.wait("available")
    found: dict[str, Any] = database.client.describe_db_snapshots(DBSnapshotIdentifier=name)[
        "DBSnapshots"
    ][0]
    return found


def restore(database: Database, snapshot: str, name: str, **options: Any) -> Database:
    restored = Database(database.aws)
    restored.name = name
    database.client.restore_db_instance_from_db_snapshot(
        **(
            {
                "DBInstanceIdentifier": name,
                "DBSnapshotIdentifier": snapshot,
                "DBSubnetGroupName": "private",
            }
            | options
        )
    )
    restored.wait("available")
    return restored


# What RDS refuses in each state, and with which words.
NOT_AVAILABLE = f"Instance {Database.name} is not in available state"
NOT_STOPPED = f"Instance {Database.name} is not in stopped state"
NOT_CHANGED = "Database instance is not in available state"
NO_SNAPSHOT = "is not currently in the available state"
NAME = {"DBInstanceIdentifier": Database.name}
CALLS: dict[str, tuple[dict[str, Any], str]] = {
    "modify_db_instance": (NAME | {"BackupRetentionPeriod": 0}, NOT_CHANGED),
    "start_db_instance": (NAME, NOT_STOPPED),
    "stop_db_instance": (NAME, NOT_AVAILABLE),
    "reboot_db_instance": (NAME, NOT_AVAILABLE),
    "create_db_snapshot": (NAME | {"DBSnapshotIdentifier": "refused"}, NO_SNAPSHOT),
    "delete_db_instance": (NAME | {"FinalDBSnapshotIdentifier": "refused"}, NO_SNAPSHOT),
}


def refused(database: Database) -> dict[str, str]:
    """Try every call; return those that are refused because of the state, with the reason."""
    found = {}
    for call, (arguments, _) in CALLS.items():
        with pytest.raises(ClientError) as refusal:
            getattr(database.client, call)(**arguments)
        error = refusal.value.response["Error"]
        assert error["Code"] == "InvalidDBInstanceState", call
        found[call] = error["Message"]
    return found


def test_calls_while_the_instance_is_modified_are_refused(database: Database) -> None:
    changed = database.client.modify_db_instance(**NAME, BackupRetentionPeriod=2)["DBInstance"]

    assert changed["DBInstanceStatus"] == "modifying"
    messages = refused(database)
    assert database.wait("available")["BackupRetentionPeriod"] == 2
    assert {call: reason in messages[call] for call, (_, reason) in CALLS.items()} == dict.fromkeys(
        CALLS, True
    )


def test_calls_of_a_stopped_instance_are_refused_except_start(database: Database) -> None:
    database.client.stop_db_instance(**NAME)
    database.wait("stopped")
    client = database.client
    for call, (arguments, reason) in CALLS.items():
        if call != "start_db_instance":
            with pytest.raises(ClientError, match=reason):
                getattr(client, call)(**arguments)
    client.start_db_instance(**NAME)
    database.wait("available")


def test_instance_has_no_endpoint_and_refuses_calls_until_it_is_created(
    database: Database,
) -> None:
    client = database.client
    take_snapshot(database, "early")
    client.restore_db_instance_from_db_snapshot(
        DBInstanceIdentifier="early", DBSnapshotIdentifier="early", DBSubnetGroupName="private"
    )
    early = Database(database.aws)
    early.name = "early"

    assert "Endpoint" not in early.describe()
    for call, (arguments, _) in CALLS.items():
        with pytest.raises(ClientError, match="InvalidDBInstanceState"):
            getattr(client, call)(**(arguments | {"DBInstanceIdentifier": "early"}))
    early.wait("available")
    delete(early)
    forget(database, "early")


def delete(database: Database, **how: Any) -> None:
    database.client.delete_db_instance(
        DBInstanceIdentifier=database.name, **(how or {"SkipFinalSnapshot": True})
    )
    database.client.get_waiter("db_instance_deleted").wait(
        DBInstanceIdentifier=database.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )


def forget(database: Database, *snapshots: str) -> None:
    kept = database.aws.directory / "rds-snapshots/us-east-1"
    for name in snapshots:
        assert (kept / name / "PG_VERSION").exists()
        database.client.delete_db_snapshot(DBSnapshotIdentifier=name)
        assert not (kept / name).exists()


def automated(database: Database, instance: str) -> list[dict[str, Any]]:
    """Return the automated snapshots of an instance."""
    found: list[dict[str, Any]] = database.client.describe_db_snapshots(
        DBInstanceIdentifier=instance, SnapshotType="automated"
    )["DBSnapshots"]
    return found


def test_available_instance_with_backups_has_an_automated_snapshot(database: Database) -> None:
    client = database.client
    [snapshot] = automated(database, Database.name)
    name = snapshot["DBSnapshotIdentifier"]

    assert re.fullmatch(rf"rds:{Database.name}-\d{{4}}(-\d\d){{4}}", name)
    assert (snapshot["Status"], snapshot["SnapshotType"]) == ("available", "automated")
    listed = [one["DBSnapshotIdentifier"] for one in client.describe_db_snapshots()["DBSnapshots"]]
    assert name in listed
    with pytest.raises(ClientError, match=r"automated snapshots cannot be deleted\.$") as caught:
        client.delete_db_snapshot(DBSnapshotIdentifier=name)
    assert caught.value.response["Error"]["Code"] == "InvalidDBSnapshotState"


def test_automated_snapshot_can_be_restored_and_goes_with_its_instance(database: Database) -> None:
    client = database.client
    [snapshot] = automated(database, Database.name)
    tags = [{"Key": "Team", "Value": "a"}]

    restored = restore(
        database,
        snapshot["DBSnapshotIdentifier"],
        "second",
        Tags=tags,
        CopyTagsToSnapshot=True,
    )
    restored.connect().close()
    [own] = automated(database, "second")
    name = own["DBSnapshotIdentifier"]
    assert own["TagList"] == tags
    assert client.list_tags_for_resource(ResourceName=own["DBSnapshotArn"])["TagList"] == tags
    # No days, no backups.
    for days, count in ((0, 0), (1, 1)):
        client.modify_db_instance(
            DBInstanceIdentifier="second", BackupRetentionPeriod=days, ApplyImmediately=True
        )
        restored.wait("available")
        assert len(automated(database, "second")) == count
    delete(restored, SkipFinalSnapshot=True)

    assert automated(database, "second") == []
    kept = database.aws.directory / "rds-snapshots/us-east-1"
    assert not [folder for folder in kept.iterdir() if "second" in folder.name]
    assert name not in str(client.describe_db_snapshots())


def test_automated_snapshot_outlives_its_instance_on_request(
    database: Database, prerequisites: dict[str, Any]
) -> None:
    other = Database(database.aws)
    other.name = "retained"
    database.client.create_db_instance(**(prerequisites | {"DBInstanceIdentifier": other.name}))
    other.wait("available")
    delete(other, SkipFinalSnapshot=True, DeleteAutomatedBackups=False)

    assert [one["Status"] for one in automated(database, other.name)] == ["available"]


def test_snapshot_holds_what_was_committed_while_clients_go_on_writing(database: Database) -> None:
    database.ask("CREATE TABLE written (x int PRIMARY KEY)")
    acknowledged = 0
    enough = threading.Event()

    def write() -> None:
        nonlocal acknowledged
        connection = database.connect()
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not enough.is_set():
                cursor.execute("INSERT INTO written VALUES (%s)", (acknowledged + 1,))
                acknowledged += 1
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not acknowledged:
            assert writer.is_alive()
        before = acknowledged
        take_snapshot(database, "busy")
    finally:
        enough.set()
        writer.join()
    restored = restore(database, "busy", "restored")
    written = [x for (x,) in restored.ask("SELECT x FROM written ORDER BY x")]
    delete(restored)
    forget(database, "busy")

    assert written == list(range(1, len(written) + 1))
    assert before <= len(written) <= acknowledged
    assert database.ask("SELECT max(x) FROM written") == [(acknowledged,)]


def test_restored_instance_has_the_password_of_the_snapshot_and_the_settings_of_a_new_one(
    database: Database, network: dict[str, Any]
) -> None:
    client = database.client

    def change(**settings: Any) -> None:
        client.modify_db_instance(
            DBInstanceIdentifier=Database.name, ApplyImmediately=True, **settings
        )
        database.wait("available")

    change(CopyTagsToSnapshot=True, DeletionProtection=True)
    arn = database.describe()["DBInstanceArn"]
    client.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "Team", "Value": "a"}])
    snapshot = take_snapshot(database, "settings")
    own = take_snapshot(database, "tagged", Tags=[{"Key": "Why", "Value": "b"}])
    change(MasterUserPassword="an0ther-password", CopyTagsToSnapshot=False)
    try:
        restored = restore(database, "settings", "restored")
        described = restored.describe()
        restored.connect().close()
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            restored.connect(password="an0ther-password")
    finally:
        change(MasterUserPassword=PASSWORD, DeletionProtection=False)
    delete(restored, FinalDBSnapshotIdentifier="final")
    forget(database, "settings", "tagged", "final")

    assert snapshot["TagList"] == [{"Key": "Team", "Value": "a"}]
    assert own["TagList"] == [{"Key": "Why", "Value": "b"}]
    assert described["TagList"] == snapshot["TagList"]
    assert described["DBParameterGroups"][0]["DBParameterGroupName"] == "default.postgres17"
    (group,) = described["VpcSecurityGroups"]
    assert group["VpcSecurityGroupId"] != network["group"]
    assert not described["DeletionProtection"]
    assert not described["CopyTagsToSnapshot"]
    assert described["StorageEncrypted"]
    assert described["StorageType"] == "gp3"
    assert described["DbiResourceId"] != database.describe()["DbiResourceId"]


def test_restored_instance_takes_the_name_and_the_endpoint_of_a_renamed_one(
    database: Database,
) -> None:
    client = database.client
    first = restore_under_test(database)
    endpoint = first.describe()["Endpoint"]
    first.ask("CREATE TABLE broken AS SELECT 1 AS x")

    client.modify_db_instance(
        DBInstanceIdentifier="first", NewDBInstanceIdentifier="aside", ApplyImmediately=True
    )
    aside = Database(database.aws)
    aside.name = "aside"
    aside.wait("available")
    with pytest.raises(ClientError, match="DBInstanceNotFound"):
        first.describe()
    second = restore(database, "base", "first")

    assert second.describe()["Endpoint"] == endpoint
    assert second.ask("SELECT to_regclass('broken')") == [(None,)]
    assert aside.describe()["Endpoint"] != endpoint
    assert aside.ask("SELECT x FROM broken") == [(1,)]
    for instance in (aside, second):
        delete(instance)
    forget(database, "base")


@pytest.mark.slow
def test_restored_instance_waits_until_the_renamed_one_has_left_the_address(
    database: Database,
) -> None:
    restore_under_test(database)
    podman = Podman(Settings(data_dir=database.aws.directory))
    [container] = podman.run("ps", "--filter=name=rds-first-", "--format={{.Names}}").stdout.split()
    # It ignores the signal to shut down, so moving takes until podman loses its patience.
    podman.run("kill", "--signal=SIGSTOP", container)
    database.client.modify_db_instance(
        DBInstanceIdentifier="first", NewDBInstanceIdentifier="aside", ApplyImmediately=True
    )
    aside = Database(database.aws)
    aside.name = "aside"

    second = restore(database, "base", "first")
    aside.wait("available")

    assert second.ask("SELECT 1") == [(1,)]
    for instance in (aside, second):
        delete(instance)
    forget(database, "base")


def restore_under_test(database: Database) -> Database:
    take_snapshot(database, "base")
    return restore(database, "base", "first")


@pytest.mark.parametrize(
    ("call", "arguments", "code"),
    [
        (
            "create_db_snapshot",
            {"DBInstanceIdentifier": Database.name, "DBSnapshotIdentifier": "there"},
            "DBSnapshotAlreadyExists",
        ),
        (
            "create_db_snapshot",
            {"DBInstanceIdentifier": "unknown", "DBSnapshotIdentifier": "new"},
            "DBInstanceNotFound",
        ),
        ("describe_db_snapshots", {"DBSnapshotIdentifier": "unknown"}, "DBSnapshotNotFound"),
        ("delete_db_snapshot", {"DBSnapshotIdentifier": "unknown"}, "DBSnapshotNotFound"),
        (
            "restore_db_instance_from_db_snapshot",
            {
                "DBInstanceIdentifier": "new",
                "DBSnapshotIdentifier": "unknown",
                "DBSubnetGroupName": "private",
            },
            "DBSnapshotNotFound",
        ),
        (
            "restore_db_instance_from_db_snapshot",
            {
                "DBInstanceIdentifier": Database.name,
                "DBSnapshotIdentifier": "there",
                "DBSubnetGroupName": "private",
            },
            "DBInstanceAlreadyExists",
        ),
        (
            "modify_db_instance",
            {
                "DBInstanceIdentifier": Database.name,
                "NewDBInstanceIdentifier": Database.name,
                "ApplyImmediately": True,
            },
            "DBInstanceAlreadyExists",
        ),
        (
            "delete_db_instance",
            {"DBInstanceIdentifier": Database.name},
            "InvalidParameterCombination",
        ),
        (
            "delete_db_instance",
            {"DBInstanceIdentifier": Database.name, "FinalDBSnapshotIdentifier": "there"},
            "DBSnapshotAlreadyExists",
        ),
    ],
)
@pytest.mark.usefixtures("there")
def test_snapshot_request_invalid_is_refused(
    database: Database, call: str, arguments: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError) as refusal:
        getattr(database.client, call)(**arguments)
    assert refusal.value.response["Error"]["Code"] == code
    database.wait("available")


@pytest.fixture(scope="module")
def there(database: Database) -> Iterator[None]:
    take_snapshot(database, "there")
    yield
    forget(database, "there")


def test_change_of_a_busy_instance_or_snapshot_is_refused(database: Database) -> None:
    client = database.client
    client.create_db_snapshot(DBInstanceIdentifier=Database.name, DBSnapshotIdentifier="busy")
    with pytest.raises(ClientError, match="InvalidDBSnapshotState"):
        client.delete_db_snapshot(DBSnapshotIdentifier="busy")
    with pytest.raises(ClientError, match="InvalidDBInstanceState"):
        client.modify_db_instance(
            DBInstanceIdentifier=Database.name,
            NewDBInstanceIdentifier="new",
            ApplyImmediately=True,
        )
    database.wait("available")
    client.delete_db_snapshot(DBSnapshotIdentifier="busy")


def test_instance_address_has_a_network_interface(database: Database, aws: LocalAws) -> None:
    (interface,) = aws.client("ec2").describe_network_interfaces()["NetworkInterfaces"]
    assert interface["PrivateIpAddress"] == database.describe()["Endpoint"]["Address"]
    assert interface["Description"] == "RDSNetworkInterface"


def test_modified_subnet_group_is_described(aws: LocalAws, network: dict[str, Any]) -> None:
    client = aws.client("rds")
    group = {"DBSubnetGroupName": "modified", "SubnetIds": network["subnets"]}
    client.create_db_subnet_group(**group, DBSubnetGroupDescription="before")

    client.modify_db_subnet_group(**group, DBSubnetGroupDescription="after")

    [found] = client.describe_db_subnet_groups(DBSubnetGroupName="modified")["DBSubnetGroups"]
    client.delete_db_subnet_group(DBSubnetGroupName="modified")
    assert found["DBSubnetGroupDescription"] == "after"
