"""The versions of PostgreSQL that RDS offers, and which upgrade leads from one to another.

moto takes any version and changes it at once. On RDS:

- a version can be upgraded to the targets that DescribeDBEngineVersions names, and never back;
- a major version needs AllowMajorVersionUpgrade, and a parameter group of its own family in place
  of one that the customer made;
- a major version alone stands for its default minor version, which might not be a target.

Sources:
https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ModifyDBInstance.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_UpgradeDBInstance.PostgreSQL.MajorVersion.html
https://github.com/hashicorp/terraform/issues/8468 (the refusal of a major version)
https://github.com/cloudposse/terraform-aws-rds-cluster/issues/134 (that of a custom group)
https://github.com/terraform-aws-modules/terraform-aws-rds/issues/627 (that of another version)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.rds.exceptions import RDSClientError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from moto.rds.models import DBInstance, RDSBackend

# What RDS offers of each major version; the server behind is of the programs in
# `local_aws.machine.postgresql`, whichever minor version is asked for.
MINORS = {17: (2, 4, 5, 6, 7), 18: (1,)}
DEFAULT_MAJOR = 17
ENGINE_VERSIONS = tuple(f"{major}.{minor}" for major, minors in MINORS.items() for minor in minors)
FAMILIES = tuple(f"postgres{major}" for major in MINORS)


def major(version: str) -> int:
    """Return the major version of a version."""
    return int(version.partition(".")[0])


def family(version: str) -> str:
    """Return the family of the parameter groups for a version."""
    return f"postgres{major(version)}"


def full(wanted: str) -> str:
    """Return the full version; a major version alone means its default, which is its newest here.

    Raises
    ------
    RDSClientError
        When RDS has no such version.
    """
    if wanted.isdecimal() and int(wanted) in MINORS:
        return f"{wanted}.{MINORS[int(wanted)][-1]}"
    if wanted not in ENGINE_VERSIONS:
        raise RDSClientError(
            "InvalidParameterCombination", f"Cannot find version {wanted} for postgres"
        )
    return wanted


def targets(version: str) -> list[dict[str, Any]]:
    """Return to which versions this one can be upgraded, as RDS describes them."""
    newest = full(str(major(version)))
    return [
        {
            "Engine": "postgres",
            "EngineVersion": target,
            "Description": f"PostgreSQL {target}-R1",
            "AutoUpgrade": target == newest,
            "IsMajorVersionUpgrade": major(target) != major(version),
        }
        for target in ENGINE_VERSIONS[ENGINE_VERSIONS.index(version) + 1 :]
    ]


def check_upgrade(instance: DBInstance, wanted: Mapping[str, Any]) -> None:
    """Refuse a change to a version that RDS does not make."""
    version, target = str(instance.engine_version), wanted["engine_version"]
    if target not in [one["EngineVersion"] for one in targets(version)]:
        raise RDSClientError(
            "InvalidParameterCombination", f"Cannot upgrade postgres from {version} to {target}"
        )
    if major(target) == major(version):
        return
    if not wanted.get("allow_major_version_upgrade"):
        raise RDSClientError(
            "InvalidParameterCombination",
            "The AllowMajorVersionUpgrade flag must be present when upgrading to a new major "
            "version.",
        )
    present = instance.db_parameter_groups()[0].name
    if not wanted.get("db_parameter_group_name") and not present.startswith("default."):
        raise RDSClientError(
            "InvalidParameterCombination",
            f"The current DB instance parameter group {present} is custom. You must explicitly "
            "specify a new DB instance parameter group, either default or custom, for the engine "
            "version upgrade.",
        )


def check_group(backend: RDSBackend, name: str | None, version: str) -> None:
    """Refuse a parameter group of another family; moto refuses one that does not exist."""
    if not name:
        return
    known = backend.db_parameter_groups.get(name)
    found = name.removeprefix("default.") if name.startswith("default.") else known and known.family
    if found and found != family(version):
        raise RDSClientError(
            "InvalidParameterCombination",
            f"The parameter group {name} with DBParameterGroupFamily {found} can't be used for "
            "this instance. Please use a parameter group with DBParameterGroupFamily "
            f"{family(version)}.",
        )
