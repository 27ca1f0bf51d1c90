"""A Multi-AZ instance fails over to its standby, and loses nothing that was committed."""

from __future__ import annotations

import contextlib
import itertools
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

GROUP = "failover"
# As settings.py has it.
FAILOVER_SECONDS = 5.0


class Mirrored(Database):
    """The instance under test."""

    name = "mirrored"

    def container(self) -> str:
        """Return the id of the container that serves."""
        podman = Podman(Settings(data_dir=self.aws.directory, port=self.aws.port))
        named = f"--filter=name=rds-{self.name}-"
        [found] = podman.run("ps", "--quiet", "--no-trunc", named).stdout.split()
        return str(found)

    def zones(self) -> list[str]:
        """Return the zone of the instance, and that of its standby."""
        found = self.describe()
        return [found["AvailabilityZone"], found["SecondaryAvailabilityZone"]]

    def fail_over(self) -> None:
        """Ask for a failover."""
        self.client.reboot_db_instance(DBInstanceIdentifier=self.name, ForceFailover=True)


def create(client: Any, network: dict[str, Any], name: str, **options: Any) -> Any:
    """Create an instance in the group of subnets."""
    return client.create_db_instance(
        DBInstanceIdentifier=name,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="master",
        MasterUserPassword=PASSWORD,
        DBName="first",
        DBSubnetGroupName=GROUP,
        VpcSecurityGroupIds=[network["group"]],
        BackupRetentionPeriod=0,
        **options,
    )


@pytest.fixture(scope="module")
def database(aws: LocalAws, network: dict[str, Any]) -> Iterator[Mirrored]:
    made = Mirrored(aws)
    made.client.create_db_subnet_group(
        DBSubnetGroupName=GROUP, DBSubnetGroupDescription="two", SubnetIds=network["subnets"]
    )
    create(made.client, network, made.name, MultiAZ=True)
    made.wait("available")
    yield made
    made.delete()
    made.client.delete_db_subnet_group(DBSubnetGroupName=GROUP)


def test_standby_takes_over_with_all_that_was_committed(database: Mirrored) -> None:
    database.ask("CREATE TABLE committed (number int)")
    before, zones, address = (
        database.container(),
        database.zones(),
        database.describe()["Endpoint"]["Address"],
    )
    acknowledged: list[int] = []

    def commit() -> None:
        connection = database.connect()
        connection.autocommit = True
        with connection.cursor() as cursor, contextlib.suppress(psycopg2.OperationalError):
            for number in itertools.count():
                cursor.execute("INSERT INTO committed VALUES (%s)", [number])
                acknowledged.append(number)

    client = threading.Thread(target=commit)
    client.start()
    while len(acknowledged) < 100:
        time.sleep(0.01)
    began = time.monotonic()
    database.fail_over()
    client.join()
    assert database.describe()["DBInstanceStatus"] == "rebooting"
    database.wait("available")

    assert time.monotonic() - began >= FAILOVER_SECONDS
    assert database.container() != before
    assert database.zones() == zones[::-1]
    assert database.describe()["Endpoint"]["Address"] == address
    kept = {number for (number,) in database.ask("SELECT number FROM committed")}
    assert kept >= set(acknowledged)


def test_instance_without_standby_does_not_fail_over(
    database: Mirrored, network: dict[str, Any]
) -> None:
    create(database.client, network, "alone", MultiAZ=False)
    waiter = database.client.get_waiter("db_instance_available")
    waiter.wait(DBInstanceIdentifier="alone", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    try:
        with pytest.raises(ClientError, match="ForceFailover cannot be specified"):
            database.client.reboot_db_instance(DBInstanceIdentifier="alone", ForceFailover=True)
        [found] = database.client.describe_db_instances(DBInstanceIdentifier="alone")["DBInstances"]
        assert "SecondaryAvailabilityZone" not in found
    finally:
        database.client.delete_db_instance(DBInstanceIdentifier="alone", SkipFinalSnapshot=True)


def test_zone_of_an_instance_with_standby_cannot_be_chosen(
    database: Mirrored, network: dict[str, Any]
) -> None:
    with pytest.raises(ClientError, match="not valid for Multi-AZ instances"):
        create(database.client, network, "x", MultiAZ=True, AvailabilityZone="us-east-1a")
