from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

if TYPE_CHECKING:
    from .conftest import RunModule

MODULE = "rds_snapshot_copy"
THERE = "us-west-2"
WANTED: dict[str, Any] = {
    "db_snapshot_identifier": "copy",
    "source_db_snapshot_arn": "arn:aws:rds:us-east-1:123456789012:snapshot:source",
    "tags": {"Deployment": "demo"},
    "region": THERE,
}


@pytest.fixture
def rds(aws: str) -> Any:
    """A client of the other region, and a snapshot in the first one."""
    assert aws
    client = boto3.client("rds")
    client.create_db_instance(
        DBInstanceIdentifier="metadata",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        MasterUsername="master",
        MasterUserPassword="password of master",
        AllocatedStorage=20,
        StorageEncrypted=True,
    )
    client.create_db_snapshot(DBInstanceIdentifier="metadata", DBSnapshotIdentifier="source")
    return boto3.client("rds", region_name=THERE)


def names(client: Any) -> list[str]:
    return [one["DBSnapshotIdentifier"] for one in client.describe_db_snapshots()["DBSnapshots"]]


def test_module_copies_the_snapshot_once(rds: Any, run_module: RunModule) -> None:
    planned = run_module(MODULE, check=True, **WANTED)
    assert names(rds) == []
    first = run_module(MODULE, **WANTED)
    second = run_module(MODULE, **WANTED)
    [copy] = rds.describe_db_snapshots(DBSnapshotIdentifier="copy")["DBSnapshots"]

    assert (planned["changed"], first["changed"], second["changed"]) == (True, True, False)
    assert first["status"] == "available"
    assert copy["TagList"] == [{"Key": "Deployment", "Value": "demo"}]
    assert f":{THERE}:" in copy["KmsKeyId"]


def test_module_without_a_source_fails(rds: Any, run_module: RunModule) -> None:
    unknown = {"source_db_snapshot_arn": "arn:aws:rds:us-east-1:123456789012:snapshot:unknown"}
    result = run_module(MODULE, fails=True, **(WANTED | unknown))

    assert "Failed to copy DB snapshot" in result["msg"]
    assert names(rds) == []
