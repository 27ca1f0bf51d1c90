"""Copies of snapshots have the data of their sources, also in another region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.rds_instances import PASSWORD, Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalAws

HERE, THERE = "us-east-1", "us-west-2"
ACCOUNT = "123456789012"
KEY = "alias/aws/rds"


def arn(name: str, region: str = HERE) -> str:
    return f"arn:aws:rds:{region}:{ACCOUNT}:snapshot:{name}"


class There(Database):
    """The instance in the other region."""

    name = "elsewhere"

    def __init__(self, aws: LocalAws) -> None:
        super().__init__(aws)
        self.client = aws.client("rds", region=THERE)


def create_network(aws: LocalAws, region: str, cidr: str) -> str:
    """Create a network and its subnet group `copies`; return the security group."""
    ec2 = aws.client("ec2", region=region)
    vpc = ec2.create_vpc(CidrBlock=f"{cidr}.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(
            VpcId=vpc, CidrBlock=f"{cidr}.{number}.0/24", AvailabilityZone=f"{region}{zone}"
        )["Subnet"]["SubnetId"]
        for number, zone in enumerate("ab")
    ]
    aws.client("rds", region=region).create_db_subnet_group(
        DBSubnetGroupName="copies", DBSubnetGroupDescription="copies", SubnetIds=subnets
    )
    group = ec2.create_security_group(GroupName="all", Description="all", VpcId=vpc)["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=5432, ToPort=5432, CidrIp="0.0.0.0/0"
    )
    return str(group)


@pytest.fixture(scope="module")
def database(aws: LocalAws) -> Iterator[Database]:
    """An encrypted instance with a row, and its snapshot `source`."""
    group = create_network(aws, HERE, "10.214")
    made = Database(aws)
    made.client.create_db_instance(
        DBInstanceIdentifier=made.name,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        StorageEncrypted=True,
        MasterUsername="master",
        MasterUserPassword=PASSWORD,
        DBName="first",
        DBSubnetGroupName="copies",
        VpcSecurityGroupIds=[group],
        BackupRetentionPeriod=0,
        CopyTagsToSnapshot=True,
        Tags=[{"Key": "Team", "Value": "a"}],
    )
    made.wait("available")
    made.ask("CREATE TABLE kept (x int); INSERT INTO kept VALUES (42)")
    made.client.create_db_snapshot(DBInstanceIdentifier=made.name, DBSnapshotIdentifier="source")
    made.client.get_waiter("db_snapshot_available").wait(
        DBSnapshotIdentifier="source", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    yield made
    made.client.delete_db_snapshot(DBSnapshotIdentifier="source")
    if made.client.describe_db_instances()["DBInstances"]:
        made.delete()


@pytest.fixture
def there(aws: LocalAws) -> Any:
    return aws.client("rds", region=THERE)


def copy(client: Any, name: str, **options: Any) -> dict[str, Any]:
    """Copy the source into the client's region; return the answer."""
    wanted = {"SourceDBSnapshotIdentifier": arn("source"), "SourceRegion": HERE, "KmsKeyId": KEY}
    given = {key: value for key, value in (wanted | options).items() if value is not None}
    answer: dict[str, Any] = client.copy_db_snapshot(TargetDBSnapshotIdentifier=name, **given)
    return answer["DBSnapshot"]


def wait(client: Any, name: str) -> dict[str, Any]:
    client.get_waiter("db_snapshot_available").wait(
        DBSnapshotIdentifier=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    found: dict[str, Any] = client.describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"][
        0
    ]
    return found


@pytest.mark.usefixtures("database")
def test_copy_in_another_region_describes_its_source(there: Any) -> None:
    tags = [{"Key": "Why", "Value": "copy"}]
    begun = copy(there, "described", Tags=tags)
    found = wait(there, "described")

    assert begun["Status"] == "creating"
    assert (found["SourceRegion"], found["SourceDBSnapshotIdentifier"]) == (HERE, arn("source"))
    assert found["DBSnapshotArn"] == arn("described", THERE)
    assert found["TagList"] == tags
    assert found["Encrypted"]
    assert f":{THERE}:" in found["KmsKeyId"]
    there.delete_db_snapshot(DBSnapshotIdentifier="described")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"KmsKeyId": None}, "InvalidParameterValue", "Must specify new KMS key"),
        ({"KmsKeyId": "alias/unknown"}, "KMSKeyNotAccessibleFault", "alias/unknown"),
        ({"SourceDBSnapshotIdentifier": arn("unknown")}, "DBSnapshotNotFound", "unknown"),
        ({"SourceRegion": None}, "InvalidParameterValue", "PreSignedUrl could not"),
        # In the target region there is none of that name.
        ({"SourceDBSnapshotIdentifier": "source"}, "DBSnapshotNotFound", "source"),
    ],
)
@pytest.mark.usefixtures("database")
def test_copy_that_is_invalid_is_refused(
    there: Any, options: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(ClientError) as error:
        copy(there, "refused", **options)

    assert error.value.response["Error"]["Code"] == code
    assert words in error.value.response["Error"]["Message"]
    assert there.describe_db_snapshots()["DBSnapshots"] == []


def test_copy_with_a_name_that_is_taken_is_refused(database: Database, there: Any) -> None:
    copy(there, "taken")
    for client, name in ((there, "taken"), (database.client, "source")):
        with pytest.raises(ClientError, match="DBSnapshotAlreadyExists"):
            copy(client, name, SourceRegion=HERE if client is there else None)
    wait(there, "taken")
    there.delete_db_snapshot(DBSnapshotIdentifier="taken")


def test_copy_of_a_snapshot_that_is_being_created_is_refused(
    database: Database, there: Any
) -> None:
    database.client.create_db_snapshot(
        DBInstanceIdentifier=database.name, DBSnapshotIdentifier="young"
    )
    with pytest.raises(ClientError, match="InvalidDBSnapshotState"):
        copy(there, "refused", SourceDBSnapshotIdentifier=arn("young"))
    wait(database.client, "young")
    database.client.delete_db_snapshot(DBSnapshotIdentifier="young")
    database.wait("available")


def test_copy_in_the_same_region_keeps_tags_on_request(database: Database) -> None:
    copy(
        database.client,
        "second",
        SourceDBSnapshotIdentifier="source",
        SourceRegion=None,
        KmsKeyId=None,
        CopyTags=True,
    )
    found = wait(database.client, "second")
    database.client.delete_db_snapshot(DBSnapshotIdentifier="second")

    assert found["TagList"] == [{"Key": "Team", "Value": "a"}]
    assert "SourceRegion" not in found


def test_copy_is_restored_in_its_region_when_the_source_is_gone(
    aws: LocalAws, database: Database, there: Any
) -> None:
    group = create_network(aws, THERE, "10.215")
    copy(there, "whole")
    wait(there, "whole")
    database.delete()
    restored = There(aws)
    there.restore_db_instance_from_db_snapshot(
        DBInstanceIdentifier=restored.name,
        DBSnapshotIdentifier="whole",
        DBInstanceClass="db.t4g.micro",
        DBSubnetGroupName="copies",
        VpcSecurityGroupIds=[group],
    )
    described = restored.wait("available")

    assert restored.ask("SELECT x FROM kept") == [(42,)]
    assert described["AvailabilityZone"].startswith(THERE)
    assert f":{THERE}:" in described["DBInstanceArn"]
    restored.delete()
    there.delete_db_snapshot(DBSnapshotIdentifier="whole")
