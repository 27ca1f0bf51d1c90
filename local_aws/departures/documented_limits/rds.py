"""Rules of RDS.

moto itself knows identifiers of instances and snapshots; `local_aws.rds` users, passwords, versions
and the parameters of PostgreSQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends
from moto.rds.models import rds_backends

from local_aws.departures.documented_limits.rule import Rule, between, matches, one_of
from local_aws.rds import parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from local_aws.departures.documented_limits.rule import Request

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
        ("rds:CreateDBInstance", "rds:RestoreDBInstanceFromDBSnapshot"),
        "Port",
        between(1150, 65535),
        "InvalidParameterValue",
        "Invalid database port: {value}. It must be from 1150 to 65535.",
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
        one_of(parameters.FAMILY),
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
