"""Automated snapshots, which RDS takes and removes by itself.

moto makes an entry at once for each new instance, of whatever retention, and deletes it on
request. On RDS an instance whose ``BackupRetentionPeriod`` is above 0 is backed up before it is
available for the first time, and when the period is raised from 0. The snapshot is called
``rds:<instance>-<time>``, is listed among the others with the instance's tags if
``CopyTagsToSnapshot`` is on, and can be restored but not deleted. It goes with the instance unless
``DeleteAutomatedBackups`` is false, and when the period becomes 0.

Local AWS takes one automated snapshot when the instance is created, one before and one after an
upgrade of its version, and no daily ones. That is enough to test playbooks that list, delete or
restore snapshots. The first of the present major version and the write-ahead log since then are
what an instance is restored from to a point in time, see `local_aws.services.rds.restorable`.
DescribeDBInstanceAutomatedBackups describes them (moto: the name and the status alone). What
outlives its instance can be restored as a snapshot only.

Sources:
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_WorkingWithAutomatedBackups.html
https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DeleteDBInstance.html
https://github.com/hashicorp/terraform-provider-aws/issues/13800 (code and words of the refusal)
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from moto.rds.models import DBSnapshot

from local_aws.services.rds.snapshots import begin

if TYPE_CHECKING:
    from collections.abc import Callable

    from moto.rds.models import DBInstance, RDSBackend

    from local_aws.services.rds.postgres import Postgres
    from local_aws.services.rds.snapshots import Snapshots

AUTOMATED = "automated"


def take(
    backend: RDSBackend,
    instance: DBInstance,
    snapshots: Snapshots,
    postgres: Postgres,
    target: str | None = None,
) -> DBSnapshot:
    """Take an automated snapshot and return it; `target` is the version of an upgrade that waits.

    The snapshot before an upgrade is called ``rds:preupgrade-<instance>-<from>-to-<to>-<time>``.
    """
    label = instance.db_instance_identifier
    if target is not None:
        path = f"{instance.engine_version}-to-{target}".replace(".", "-")
        label = f"preupgrade-{label}-{path}"
    name = _unused_name(backend, label)
    snapshot = DBSnapshot(backend, instance, name, AUTOMATED)
    # Otherwise a tag of the snapshot would be one of the instance's, too.
    snapshot.tags = list(snapshot.tags)
    begin(snapshot)
    backend.database_snapshots[name] = snapshot
    snapshots.fill(snapshot, postgres, running=True)
    return snapshot


def _unused_name(backend: RDSBackend, label: str) -> str:
    """Return the name of a new snapshot.

    A restored instance may have the name of one that was backed up in the same minute.
    """
    now = datetime.now(UTC)
    while True:
        name = f"rds:{label}-{now:%Y-%m-%d-%H-%M}"
        if name not in backend.database_snapshots:
            return name
        now += timedelta(minutes=1)


def describe(
    backend: RDSBackend,
    snapshot: Any,
    earliest: Callable[[DBInstance], datetime | None],
    latest: Callable[[DBInstance], datetime | None],
) -> dict[str, Any]:
    """Return the automated backup to which a snapshot belongs, in RDS's terms."""
    by_resource = {one.dbi_resource_id: one for one in backend.databases.values()}
    source: Any = by_resource.get(snapshot.dbi_resource_id)
    instance = source or snapshot.database
    begin, end = (earliest(source), latest(source)) if source else (None, None)
    described = {
        "AllocatedStorage": instance.allocated_storage,
        "AvailabilityZone": instance.availability_zone,
        "BackupRetentionPeriod": instance.backup_retention_period,
        "DBInstanceArn": instance.db_instance_arn,
        "DBInstanceIdentifier": instance.db_instance_identifier,
        "DbiResourceId": snapshot.dbi_resource_id,
        "Encrypted": bool(instance.storage_encrypted),
        "Engine": instance.engine,
        "EngineVersion": instance.engine_version,
        "MasterUsername": instance.master_username,
        "Port": instance.port,
        "Region": backend.region_name,
        "Status": ("active" if begin else "creating") if source else "retained",
        "StorageType": instance.storage_type,
    }
    if begin and end:
        described["RestoreWindow"] = {"EarliestTime": begin, "LatestTime": end}
    return described


def forget(backend: RDSBackend, snapshots: Snapshots, instance: DBInstance) -> None:
    """Remove the automated snapshots of an instance, whatever it was called then."""
    for name, snapshot in list(backend.database_snapshots.items()):
        if (
            snapshot.snapshot_type == AUTOMATED
            and snapshot.dbi_resource_id == instance.dbi_resource_id
        ):
            del backend.database_snapshots[name]
            snapshots.delete(snapshot)
