"""Copies of DB snapshots, in the same region or in another one.

moto makes an entry, of whatever source. On RDS a copy is `creating` until its data are there, and
a request is refused

- for a source that does not exist, or is not available;
- for a name that a snapshot of the target region has;
- across regions, if it does not name the source by its ARN, or was not signed for the source's
  region as well (clients do that with ``SourceRegion``);
- for an encrypted source in another region without a key of KMS: keys belong to one region. The
  account's default key, ``alias/aws/rds``, is in each.

Sources:
https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CopyDBSnapshot.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_CopySnapshot.html
https://github.com/pbudzon/aws-maintenance/issues/5 (the words for a missing key)
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from moto.kms.models import kms_backends
from moto.rds.exceptions import DBSnapshotAlreadyExistsError, RDSClientError
from moto.rds.models import DBSnapshot, rds_backends

if TYPE_CHECKING:
    from collections.abc import Mapping

    from moto.rds.models import RDSBackend


def check_source(backend: RDSBackend, wanted: Mapping[str, Any]) -> DBSnapshot:
    """Return the snapshot that is to be copied; refuse what RDS refuses."""
    name = wanted["source_db_snapshot_identifier"]
    region, short = _parts(name, backend.region_name)
    if region != backend.region_name:
        _check_signature(backend.region_name, name, wanted.get("pre_signed_url"))
    # moto refuses an unknown one in RDS's words.
    source: Any = rds_backends[backend.account_id][region].describe_db_snapshots(None, short)[0]
    if wanted["target_db_snapshot_identifier"].lower() in backend.database_snapshots:
        raise DBSnapshotAlreadyExistsError(wanted["target_db_snapshot_identifier"])
    if source.status != "available":
        raise RDSClientError(
            "InvalidDBSnapshotState",
            f"Cannot copy the snapshot because it is in the state {source.status}: {short}",
        )
    if region != backend.region_name and source.encrypted and not wanted.get("kms_key_id"):
        raise RDSClientError(
            "InvalidParameterValue",
            "Must specify new KMS key for cross region encrypted snapshot copy.",
        )
    return source


def entry(backend: RDSBackend, source: Any, wanted: Mapping[str, Any]) -> DBSnapshot:
    """Return the entry of a copy, whose data are to come."""
    key = wanted.get("kms_key_id")
    database = copy.copy(source.database)
    if source.region != backend.region_name:
        # A restored instance is in a zone of its own region.
        database.backend = backend
        database.availability_zone = f"{backend.region_name}a"
    tags = wanted.get("tags") or (source.tags if wanted.get("copy_tags") else [])
    made: Any = DBSnapshot(
        backend,
        database,
        wanted["target_db_snapshot_identifier"],
        tags=list(tags),
        kms_key_id=_key_arn(backend, key) if key else source.kms_key_id,
        original_created_at=source.original_snapshot_create_time,
    )
    # An instance passes its tags to its own snapshots only.
    made.tags = list(tags)
    made.source_db_snapshot_identifier = source.db_snapshot_arn
    if source.region != backend.region_name:
        made.source_region = source.region
    backend.database_snapshots[made.db_snapshot_identifier] = made
    found: DBSnapshot = made
    return found


def _key_arn(backend: RDSBackend, key: str) -> str:
    """Return the ARN of a key; refuse one that the region does not have."""
    keys = kms_backends[backend.account_id][backend.region_name]
    name = key.rpartition(":")[2]
    is_here = not key.startswith("arn:") or key.split(":")[3] == backend.region_name
    # moto fails on an alias that it does not know.
    known = (
        keys.get_key_id_from_alias(name) if name.startswith("alias/") else name.removeprefix("key/")
    )
    if not is_here or known is None or known not in keys.keys:
        raise RDSClientError(
            "KMSKeyNotAccessibleFault",
            f"The target KMS key [{key}] does not exist, is not enabled or you do not have "
            "permissions to access it.",
        )
    return str(keys.describe_key(known).arn)


def _parts(name: str, region: str) -> tuple[str, str]:
    """Return region and name of a snapshot."""
    if not name.startswith("arn:"):
        return region, name
    _, _, _, of, _, _, short = name.split(":", 6)
    return of, short


def _check_signature(region: str, source: str, url: str | None) -> None:
    """Refuse a copy across regions that the source's region was not asked for."""
    asked = parse_qs(urlsplit(url or "").query)
    wanted = {
        "Action": ["CopyDBSnapshot"],
        "DestinationRegion": [region],
        "SourceDBSnapshotIdentifier": [source],
    }
    if "X-Amz-Signature" not in asked or any(asked.get(key) != wanted[key] for key in wanted):
        raise RDSClientError("InvalidParameterValue", "PreSignedUrl could not be authenticated")
