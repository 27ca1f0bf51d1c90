"""Snapshots that RDS takes by itself carry the deployment's tags, and only RDS deletes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import LocalAws, started
from tests.tracking_server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

DELETE = "tests/provisioning/delete_database_rest.yml"
NAME = "prov-mlflow"
TAGS = [
    {"Key": "Project", "Value": "mlflow-ec2"},
    {"Key": "Deployment", "Value": "prov"},
    {"Key": "ManagedBy", "Value": "ansible"},
]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """An account of its own, because it keeps the automated snapshot."""
    variables = {"deployment": "prov", "monitoring_enabled": False}
    yield from started(LocalAws(tmp_path_factory.mktemp("aws"), free_port(), variables))


@pytest.fixture
def snapshots(aws: LocalAws) -> Iterator[list[str]]:
    """A final and an automated snapshot of a database that is gone."""
    ec2, rds = aws.client("ec2"), aws.client("rds", attempts=10)
    vpc = ec2.create_vpc(CidrBlock="10.222.0.0/24")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for cidr, zone in (("10.222.0.0/25", "us-east-1a"), ("10.222.0.128/25", "us-east-1b"))
    ]
    rds.create_db_subnet_group(
        DBSubnetGroupName="other", DBSubnetGroupDescription="other", SubnetIds=subnets
    )
    rds.create_db_instance(
        DBInstanceIdentifier=NAME,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        StorageEncrypted=True,
        MasterUsername="master",
        MasterUserPassword="S3cret-password",
        DBSubnetGroupName="other",
        CopyTagsToSnapshot=True,
        Tags=TAGS,
    )
    fast = {"Delay": 1, "MaxAttempts": 60}
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier=NAME, WaiterConfig=fast)
    rds.delete_db_instance(
        DBInstanceIdentifier=NAME,
        FinalDBSnapshotIdentifier=f"{NAME}-final-1",
        DeleteAutomatedBackups=False,
    )
    rds.get_waiter("db_instance_deleted").wait(DBInstanceIdentifier=NAME, WaiterConfig=fast)
    yield sorted(
        one["DBSnapshotIdentifier"]
        for one in rds.describe_db_snapshots(DBInstanceIdentifier=NAME)["DBSnapshots"]
    )
    rds.delete_db_subnet_group(DBSubnetGroupName="other")
    for subnet in subnets:
        ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)


@pytest.mark.slow
def test_purge_deletes_the_final_snapshot_and_leaves_the_automated_one(
    aws: LocalAws, snapshots: list[str]
) -> None:
    final, automated = snapshots

    kept = aws.play(DELETE)
    assert kept.returncode == 0, kept.output
    assert sorted(aws.resources("prov")) == [final, automated]

    purged = aws.play(DELETE, "-e", "purge=true")
    assert purged.returncode == 0, purged.output
    assert aws.resources("prov") == [automated]
