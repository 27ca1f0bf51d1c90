from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

if TYPE_CHECKING:
    from .conftest import RunModule

MODULE = "rds_instance_at_time"
WANTED: dict[str, Any] = {
    "db_instance_identifier": "copy",
    "source_db_instance_identifier": "source",
    "restore_time": "2026-11-29T12:00:00Z",
}


@pytest.fixture
def rds(aws: str) -> Any:
    """A client, with an instance that has backups."""
    assert aws
    client = boto3.client("rds")
    client.create_db_instance(
        DBInstanceIdentifier="source",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        MasterUsername="master",
        MasterUserPassword="password of master",
        AllocatedStorage=20,
    )
    return client


def names(client: Any) -> list[str]:
    return [one["DBInstanceIdentifier"] for one in client.describe_db_instances()["DBInstances"]]


def test_module_creates_the_instance_once(rds: Any, run_module: RunModule) -> None:
    planned = run_module(MODULE, check=True, **WANTED)
    assert names(rds) == ["source"]
    first = run_module(MODULE, tags={"Deployment": "demo"}, deletion_protection=True, **WANTED)
    second = run_module(MODULE, **WANTED)
    [copy] = rds.describe_db_instances(DBInstanceIdentifier="copy")["DBInstances"]

    assert (planned["changed"], first["changed"], second["changed"]) == (True, True, False)
    assert planned["diff"]["before"] == {}
    assert copy["TagList"] == [{"Key": "Deployment", "Value": "demo"}]
    assert copy["DeletionProtection"]


def test_module_without_a_source_fails(rds: Any, run_module: RunModule) -> None:
    result = run_module(
        MODULE, fails=True, **(WANTED | {"source_db_instance_identifier": "unknown"})
    )

    assert "DBInstanceNotFound" in result["msg"]
    assert names(rds) == ["source"]


def test_module_with_an_invalid_time_fails(rds: Any, run_module: RunModule) -> None:
    assert rds
    result = run_module(MODULE, fails=True, **(WANTED | {"restore_time": "noon"}))

    assert "restore_time is not a valid time" in result["msg"]
