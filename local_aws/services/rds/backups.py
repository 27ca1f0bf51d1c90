"""Automated snapshots, which RDS takes and removes by itself.

moto makes an entry at once for each new instance, of whatever retention, and deletes it on
request. On RDS an instance whose ``BackupRetentionPeriod`` is above 0 is backed up before it is
available for the first time, and when the period is raised from 0. The snapshot is called
``rds:<instance>-<time>``, is listed among the others with the instance's tags if
``CopyTagsToSnapshot`` is on, and can be restored but not deleted. It goes with the instance unless
``DeleteAutomatedBackups`` is false, and when the period becomes 0.

Local AWS takes one automated snapshot, when the instance is created, and no daily ones. That is
enough to test playbooks that list, delete or restore snapshots.

Sources:
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_WorkingWithAutomatedBackups.html
https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DeleteDBInstance.html
https://github.com/hashicorp/terraform-provider-aws/issues/13800 (code and words of the refusal)
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from moto.rds.models import DBSnapshot

from local_aws.services.rds.snapshots import begin

if TYPE_CHECKING:
    from moto.rds.models import DBInstance, RDSBackend

    from local_aws.services.rds.postgres import Postgres
    from local_aws.services.rds.snapshots import Snapshots

AUTOMATED = "automated"


def take(
    backend: RDSBackend, instance: DBInstance, snapshots: Snapshots, postgres: Postgres
) -> None:
    """Take an automated snapshot."""
    name = _unused_name(backend, instance)
    snapshot = DBSnapshot(backend, instance, name, AUTOMATED)
    # Otherwise a tag of the snapshot would be one of the instance's, too.
    snapshot.tags = list(snapshot.tags)
    begin(snapshot)
    backend.database_snapshots[name] = snapshot
    snapshots.fill(snapshot, postgres, running=True)


def _unused_name(backend: RDSBackend, instance: DBInstance) -> str:
    """Return the name of a new snapshot.

    A restored instance may have the name of one that was backed up in the same minute.
    """
    now = datetime.now(UTC)
    while True:
        name = f"rds:{instance.db_instance_identifier}-{now:%Y-%m-%d-%H-%M}"
        if name not in backend.database_snapshots:
            return name
        now += timedelta(minutes=1)


def forget(backend: RDSBackend, snapshots: Snapshots, instance: DBInstance) -> None:
    """Remove the automated snapshots of an instance, whatever it was called then."""
    for name, snapshot in list(backend.database_snapshots.items()):
        if (
            snapshot.snapshot_type == AUTOMATED
            and snapshot.dbi_resource_id == instance.dbi_resource_id
        ):
            del backend.database_snapshots[name]
            snapshots.delete(snapshot)
