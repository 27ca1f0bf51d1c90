"""In which zones a DB instance is, and how its standby takes over.

The storage of a Multi-AZ instance is mirrored block by block into another zone before a commit is
acknowledged; the standby serves nobody. On a failover it starts PostgreSQL on the mirror, which
recovers as after a crash. Here both zones are on one disk, so the mirror is the folder of the
instance, and the standby is another container. What the primary has written and not flushed
survives here, and does not on RDS; no acknowledged commit depends on it.

Source: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Concepts.MultiAZSingleStandby.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.rds.exceptions import RDSClientError

if TYPE_CHECKING:
    from moto.rds.models import DBInstance


def standby_zone(instance: DBInstance) -> str | None:
    """Return the zone of the standby; None without one."""
    if not instance.multi_az:
        return None
    return next(zone for zone in _zones(instance) if zone != instance.availability_zone)


def change_zone(instance: DBInstance) -> None:
    """Let the instance be where its standby is; its new standby is where it was."""
    instance.availability_zone = standby_zone(instance) or instance.availability_zone


def check_failover(instance: DBInstance) -> None:
    """Refuse a failover of an instance without a standby."""
    if not instance.multi_az:
        raise RDSClientError(
            "InvalidParameterCombination",
            "ForceFailover cannot be specified since the instance is not configured for either "
            "MultiAZ or High Availability.",
        )


def _zones(instance: DBInstance) -> list[str]:
    subnets: list[dict[str, Any]] = instance.db_subnet_group.subnets
    return sorted({subnet["SubnetAvailabilityZone"]["Name"] for subnet in subnets})
