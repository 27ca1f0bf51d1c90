"""What local AWS refuses for RDS.

- `RULES` are the limits that a request breaks by itself, as AWS documents them; `local_aws.limits`
  applies them before moto sees the request.
- The functions check a request against what exists, or against PostgreSQL; `local_aws.services.rds`
  calls them from `api`.

moto itself checks the identifiers of instances and snapshots.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends
from moto.rds.exceptions import (
    DBInstanceAlreadyExists,
    DBInstanceNotFoundError,
    RDSClientError,
)
from moto.rds.models import rds_backends

from local_aws.limits.rule import Rule, between, matches, one_of
from local_aws.services.rds import backups, parameters, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from moto.rds.models import RDSBackend

    from local_aws.limits.rule import Request

_API = "https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/"
_GUIDE = "https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/"
_HYPHENATED = r"(?!.*--)[A-Za-z](?:[A-Za-z0-9-]{0,%d}[A-Za-z0-9])?"
# In GiB, for PostgreSQL.
_STORAGE_SIZES = {
    "gp2": (20, 65536),
    "gp3": (20, 65536),
    "io1": (100, 65536),
    "io2": (100, 65536),
    "standard": (5, 3072),
}
_STRIPED_GIB = 400
_WITHOUT_ENCRYPTION = frozenset(
    {
        "db.m1.small",
        "db.m1.medium",
        "db.m1.large",
        "db.m1.xlarge",
        "db.m2.xlarge",
        "db.m2.2xlarge",
        "db.m2.4xlarge",
        "db.t2.micro",
    }
)
_LEAST_ZONES = 2
_RESERVED_USERS = {"admin", "rdsadmin", "rdsrepladmin", "rdstopmgr", "postgres"}
_PASSWORD_LENGTHS = range(8, 129)


def _is_of_supported_size(kind: str) -> Callable[[Any, Request], bool]:
    low, high = _STORAGE_SIZES[kind]

    def allows(size: int, request: Request) -> bool:
        default = "io1" if "Iops" in request.parameters else "gp3"
        return request.parameters.get("StorageType", default) != kind or low <= size <= high

    return allows


def _may_grow(wanted: dict[str, Any], _request: Request) -> bool:
    most = wanted.get("MaxAllocatedStorage")
    return most is None or 10 * most >= 11 * wanted.get("AllocatedStorage", 0)


def _leaves_speed_to_rds(wanted: dict[str, Any], _request: Request) -> bool:
    return (
        wanted.get("StorageType") != "gp3"
        or wanted.get("AllocatedStorage", 0) >= _STRIPED_GIB
        or not {"Iops", "StorageThroughput"} & wanted.keys()
    )


def _can_be_encrypted(wanted: str, request: Request) -> bool:
    encrypted = request.parameters.get("StorageEncrypted")
    if request.operation == "ModifyDBInstance":
        databases = rds_backends[request.account][request.region].databases
        present = databases.get(request.parameters["DBInstanceIdentifier"])
        encrypted = present is not None and present.storage_encrypted
    return not encrypted or wanted not in _WITHOUT_ENCRYPTION


def _covers_enough_zones(wanted: list[str], request: Request) -> bool:
    """Say so; of a subnet that is not there moto says more."""
    subnets = ec2_backends[request.account][request.region].subnets
    found = {name: subnet for zone in subnets.values() for name, subnet in zone.items()}
    if not found.keys() >= set(wanted):
        return True
    return len({found[name].availability_zone for name in wanted}) >= _LEAST_ZONES


RULES = (
    Rule(
        ("rds:CreateDBInstance",),
        "DBName",
        matches(r"[A-Za-z][A-Za-z0-9_]{0,62}"),
        "InvalidParameterValue",
        "DBName must begin with a letter and contain only alphanumeric characters and "
        "underscores, 63 at most.",
        _API + "API_CreateDBInstance.html",
    ),
    Rule(
        ("rds:CreateDBInstance",),
        "MasterUsername",
        matches(r"[A-Za-z][A-Za-z0-9_]{0,15}"),
        "InvalidParameterValue",
        "The parameter MasterUsername is not a valid identifier. It has from 1 to 16 letters, "
        "numbers, or underscores, and begins with a letter.",
        _API + "API_CreateDBInstance.html",
    ),
    Rule(
        ("rds:CreateDBInstance", "rds:ModifyDBInstance"),
        "StorageType",
        one_of(*_STORAGE_SIZES),
        "InvalidParameterValue",
        "Invalid storage type: {value}",
        _API + "API_CreateDBInstance.html",
    ),
    *(
        Rule(
            ("rds:CreateDBInstance",),
            "AllocatedStorage",
            _is_of_supported_size(kind),
            "InvalidParameterCombination",
            f"Invalid storage size for engine name postgres and storage type {kind}: {{value}}",
            _API + "API_CreateDBInstance.html",
        )
        for kind in _STORAGE_SIZES
    ),
    Rule(
        ("rds:CreateDBInstance",),
        "",
        _may_grow,
        "InvalidParameterCombination",
        "The maximum allocated storage must be increased by at least 10 percent.",
        _GUIDE + "USER_PIOPS.Autoscaling.html",
    ),
    Rule(
        ("rds:CreateDBInstance",),
        "",
        _leaves_speed_to_rds,
        "InvalidParameterCombination",
        "You can't specify IOPS or storage throughput for engine postgres and a storage size "
        f"less than {_STRIPED_GIB}.",
        _GUIDE + "CHAP_Storage.html#gp3-storage",
    ),
    Rule(
        ("rds:CreateDBInstance", "rds:ModifyDBInstance"),
        "DBInstanceClass",
        _can_be_encrypted,
        "InvalidParameterCombination",
        "DB Instance class {value} does not support encryption at rest",
        _GUIDE + "Overview.Encryption.html#Overview.Encryption.Availability",
    ),
    Rule(
        ("rds:CreateDBInstance", "rds:ModifyDBInstance"),
        "BackupRetentionPeriod",
        between(0, 35),
        "InvalidParameterValue",
        "Invalid backup retention period: {value}. It must be from 0 to 35 days.",
        _API + "API_CreateDBInstance.html",
    ),
    Rule(
        (
            "rds:CreateDBInstance",
            "rds:RestoreDBInstanceFromDBSnapshot",
            "rds:RestoreDBInstanceToPointInTime",
        ),
        "Port",
        between(1150, 65535),
        "InvalidParameterValue",
        "Invalid database port: {value}. It must be from 1150 to 65535.",
        _API + "API_CreateDBInstance.html",
    ),
    Rule(
        (
            "rds:CreateDBInstance",
            "rds:RestoreDBInstanceFromDBSnapshot",
            "rds:RestoreDBInstanceToPointInTime",
        ),
        "AvailabilityZone",
        lambda _wanted, request: not request.parameters.get("MultiAZ"),
        "InvalidParameterCombination",
        "Requesting a specific availability zone is not valid for Multi-AZ instances.",
        _API + "API_CreateDBInstance.html",
    ),
    Rule(
        ("rds:RestoreDBInstanceFromDBSnapshot",),
        "DBInstanceIdentifier",
        matches(_HYPHENATED % 61),
        "InvalidParameterValue",
        "The parameter DBInstanceIdentifier is not a valid identifier. Identifiers must begin "
        "with a letter; must contain only ASCII letters, digits, and hyphens; and must not end "
        "with a hyphen or contain two consecutive hyphens.",
        _API + "API_RestoreDBInstanceFromDBSnapshot.html",
    ),
    Rule(
        ("rds:RestoreDBInstanceToPointInTime",),
        "TargetDBInstanceIdentifier",
        matches(_HYPHENATED % 61),
        "InvalidParameterValue",
        "The parameter TargetDBInstanceIdentifier is not a valid identifier. Identifiers must "
        "begin with a letter; must contain only ASCII letters, digits, and hyphens; and must not "
        "end with a hyphen or contain two consecutive hyphens.",
        _API + "API_RestoreDBInstanceToPointInTime.html",
    ),
    Rule(
        ("rds:RestoreDBInstanceToPointInTime",),
        "",
        lambda wanted, _request: "RestoreTime" in wanted or wanted.get("UseLatestRestorableTime"),
        "InvalidParameterCombination",
        "Either RestoreTime or UseLatestRestorableTime must be specified.",
        _API + "API_RestoreDBInstanceToPointInTime.html",
    ),
    Rule(
        ("rds:RestoreDBInstanceToPointInTime",),
        "",
        lambda wanted, _request: (
            not ("RestoreTime" in wanted and wanted.get("UseLatestRestorableTime"))
        ),
        "InvalidParameterCombination",
        "RestoreTime and UseLatestRestorableTime cannot be specified together.",
        _API + "API_RestoreDBInstanceToPointInTime.html",
    ),
    Rule(
        ("rds:CreateDBParameterGroup",),
        "DBParameterGroupName",
        matches(_HYPHENATED % 253),
        "InvalidParameterValue",
        "The parameter DBParameterGroupName is not a valid identifier. Identifiers must begin "
        "with a letter; must contain only ASCII letters, digits, and hyphens; and must not end "
        "with a hyphen or contain two consecutive hyphens.",
        _API + "API_CreateDBParameterGroup.html",
    ),
    # Of the families, those of the engine versions that DescribeDBEngineVersions lists.
    Rule(
        ("rds:CreateDBParameterGroup",),
        "DBParameterGroupFamily",
        one_of(*versions.FAMILIES),
        "InvalidParameterValue",
        "ParameterGroupFamily {value} is not a valid parameter group family",
        _API + "API_CreateDBParameterGroup.html",
    ),
    Rule(
        ("rds:ModifyDBParameterGroup",),
        "Parameters",
        lambda value, _request: len(value) <= 20,  # noqa: PLR2004 - AWS's number, stated below
        "InvalidParameterValue",
        "A maximum of 20 parameters can be modified in a single request.",
        _API + "API_ModifyDBParameterGroup.html",
    ),
    Rule(
        ("rds:CreateDBSubnetGroup",),
        "DBSubnetGroupName",
        matches(r"(?!(?i:default)$)[A-Za-z][A-Za-z0-9._ -]{0,254}"),
        "InvalidParameterValue",
        "The parameter DBSubnetGroupName is not a valid identifier. It has no more than 255 "
        "letters, numbers, periods, underscores, spaces, or hyphens, begins with a letter, and is "
        "not default.",
        _API + "API_CreateDBSubnetGroup.html",
    ),
    Rule(
        ("rds:CreateDBSubnetGroup", "rds:ModifyDBSubnetGroup"),
        "SubnetIds",
        _covers_enough_zones,
        "DBSubnetGroupDoesNotCoverEnoughAZs",
        "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. Add "
        f"subnets to cover at least {_LEAST_ZONES} AZs.",
        _API + "API_CreateDBSubnetGroup.html",
    ),
)


def check_engine(wanted: dict[str, Any]) -> None:
    """Refuse an engine or a version that RDS lacks; complete the version."""
    if wanted.get("engine") != "postgres":
        raise RDSClientError(
            "InvalidParameterValue",
            f"Local AWS runs no {wanted.get('engine')}: the only engine here is postgres.",
        )
    wanted["engine_version"] = versions.full(
        wanted.get("engine_version") or str(versions.DEFAULT_MAJOR)
    )


def check_master(wanted: dict[str, Any]) -> None:
    """Refuse a master user, or a password, that RDS does not accept."""
    user = wanted.get("master_username")
    if not user:
        raise RDSClientError(
            "InvalidParameterValue",
            "The parameter MasterUsername must be provided and must not be blank.",
        )
    if user.lower() in _RESERVED_USERS:
        raise RDSClientError(
            "InvalidParameterValue",
            f"MasterUsername {user} cannot be used as it is a reserved word used by the engine",
        )
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,62}", user):
        raise RDSClientError(
            "InvalidParameterValue",
            "The parameter MasterUsername is not valid: it must begin with a letter and contain "
            "only letters, digits and underscores.",
        )
    password = wanted.get("master_user_password")
    if not password:
        raise RDSClientError(
            "InvalidParameterValue",
            "The parameter MasterUserPassword must be provided and must not be blank.",
        )
    check_password(password)


def check_password(password: str) -> None:
    """Refuse a password that RDS does not accept."""
    if len(password) not in _PASSWORD_LENGTHS:
        raise RDSClientError(
            "InvalidParameterValue",
            "The parameter MasterUserPassword is not a valid password because it is "
            f"{'shorter than 8' if len(password) < _PASSWORD_LENGTHS.start else 'longer than 128'} "
            "characters.",
        )
    if not re.fullmatch(r"[!-~]+", password) or set(password) & set('/@"'):
        raise RDSClientError(
            "InvalidParameterValue",
            "The parameter MasterUserPassword is not a valid password. Only printable ASCII "
            "characters besides '/', '@', '\"', ' ' may be used.",
        )


def check_parameter(catalogue: dict[str, parameters.Parameter], setting: dict[str, Any]) -> None:
    """Refuse a parameter that PostgreSQL lacks or RDS does not change, and an invalid value."""
    name = setting["ParameterName"]
    parameter = catalogue.get(name)
    if parameter is None:
        raise RDSClientError("InvalidParameterValue", f"Could not find parameter with name: {name}")
    if not parameter.modifiable:
        raise RDSClientError("InvalidParameterValue", f"The parameter {name} cannot be modified.")
    if parameter.static and setting.get("ApplyMethod") == "immediate":
        raise RDSClientError(
            "InvalidParameterCombination",
            "cannot use immediate apply method for static parameter",
        )
    try:
        value = parameters.evaluate(setting["ParameterValue"], parameters.GIB)
        allowed = parameter.allows(value)
    except ValueError:
        allowed = False
    if not allowed:
        raise RDSClientError(
            "InvalidParameterValue",
            f"Invalid parameter value: {setting['ParameterValue']} for: {name} allowed values "
            f"are: {parameter.allowed}",
        )


def check_renaming(backend: RDSBackend, name: str, *, immediate: bool) -> None:
    """Refuse another name that is invalid or taken, and one for a maintenance window."""
    backend._validate_db_identifier(name)  # noqa: SLF001 - moto's own check of names
    if name in backend.databases:
        raise DBInstanceAlreadyExists
    if not immediate:
        raise RDSClientError(
            "InvalidParameterCombination",
            "Local AWS has no maintenance window in which to rename a DB instance: set "
            "ApplyImmediately.",
        )


def check_snapshot_deletion(snapshot: Any, *, is_copied: bool) -> None:
    """Refuse to delete an automated snapshot, or one that is being created or copied."""
    if snapshot.snapshot_type == backups.AUTOMATED:
        raise RDSClientError("InvalidDBSnapshotState", "automated snapshots cannot be deleted.")
    if snapshot.status == "creating":
        raise RDSClientError(
            "InvalidDBSnapshotState",
            f"The snapshot {snapshot.db_snapshot_identifier} is in state creating, not available.",
        )
    if is_copied:
        raise RDSClientError(
            "InvalidDBSnapshotState",
            f"The snapshot {snapshot.db_snapshot_identifier} is being copied.",
        )


def check_state(instance: Any, state: str) -> None:
    """Refuse a request for an instance in another state."""
    if instance.status != state:
        raise RDSClientError(
            "InvalidDBInstanceState",
            f"Instance {instance.db_instance_identifier} is not in {state} state.",
        )


def check_snapshot_creation(instance: Any) -> None:
    """Refuse a snapshot of an instance that is not available."""
    if instance.status != "available":
        raise RDSClientError(
            "InvalidDBInstanceState",
            f"Cannot create a snapshot because the database instance "
            f"{instance.db_instance_identifier} is not currently in the available state.",
        )


def check_modification(instance: Any) -> None:
    """Refuse a change of an instance that is not available."""
    if instance.status != "available":
        raise RDSClientError(
            "InvalidDBInstanceState", "Database instance is not in available state."
        )


def check_deletion(instance: Any, *, skip: bool, snapshot: str | None) -> None:
    """Refuse a deletion that does not say what becomes of the data, or comes twice."""
    if skip == bool(snapshot):
        raise RDSClientError(
            "InvalidParameterCombination",
            "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified, and "
            "cannot be specified with it.",
        )
    if instance is None:
        return
    if instance.status == "deleting":
        raise RDSClientError(
            "InvalidDBInstanceState",
            f"Instance {instance.db_instance_identifier} is already being deleted.",
        )
    # A protected instance is refused because of its protection, in every state.
    if snapshot and not instance.deletion_protection:
        check_snapshot_creation(instance)


def check_restoration(snapshot: Any) -> None:
    """Refuse to restore a snapshot that is not available."""
    if snapshot.status != "available":
        raise RDSClientError(
            "InvalidDBSnapshotState",
            f"The snapshot {snapshot.db_snapshot_identifier} is in state {snapshot.status}, not "
            "available.",
        )


def source_of_restoration(backend: RDSBackend, name: str | None, wanted: Mapping[str, Any]) -> Any:
    """Return the instance that is to be restored to a point in time; refuse one without backups."""
    resource = wanted.get("source_dbi_resource_id")
    if bool(name) == bool(resource):
        raise RDSClientError(
            "InvalidParameterCombination",
            "Local AWS restores instances that exist: name one in SourceDBInstanceIdentifier or "
            "SourceDbiResourceId.",
        )
    found = [
        instance
        for instance in backend.databases.values()
        if (instance.dbi_resource_id if resource else instance.db_instance_identifier)
        == (resource or name)
    ]
    if not found:
        raise DBInstanceNotFoundError(str(name or resource))
    if not found[0].backup_retention_period:
        raise RDSClientError(
            "PointInTimeRestoreNotEnabled",
            "Point in time restore is not enabled for the source DB instance "
            f"{found[0].db_instance_identifier}: its BackupRetentionPeriod is 0.",
        )
    return found[0]


def time_of_restoration(
    source: Any, earliest: datetime | None, latest: datetime | None, wanted: Mapping[str, Any]
) -> datetime:
    """Return the time to which an instance is to be restored; refuse one outside its window.

    The refusals have RDS's words, as https://github.com/hashicorp/terraform-provider-aws quotes
    them.
    """
    if earliest is None or latest is None:
        raise RDSClientError(
            "InvalidDBInstanceState",
            f"Instance {source.db_instance_identifier} has no backup yet that can be restored.",
        )
    if wanted.get("use_latest_restorable_time"):
        return latest
    until = _in_utc(wanted["restore_time"])
    if until > latest:
        raise RDSClientError(
            "InvalidParameterValue",
            f"The specified instance cannot be restored to a time later than {_text(latest)}.",
        )
    if until < earliest:
        raise RDSClientError(
            "InvalidParameterValue",
            f"The specified instance cannot be restored to a time earlier than {_text(earliest)} "
            f"because its backup retention period is set to {source.backup_retention_period} days.",
        )
    return until


def _in_utc(time: datetime | str) -> datetime:
    found = time if isinstance(time, datetime) else datetime.fromisoformat(time)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
