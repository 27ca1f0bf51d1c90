"""Security groups and subnets that are in use are not deleted.

moto deletes them at once, whatever uses them. AWS refuses with DependencyViolation as long as a
network interface is in them, or another group's rules name the group. Whoever deletes a deployment
has to wait for the interfaces of its functions, or is refused.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models import EC2Backend

from local_aws.patching import replace

if TYPE_CHECKING:
    from local_aws.settings import Settings


def apply(settings: Settings) -> None:
    """Look for what uses them before they are deleted."""
    del settings
    delete_group = EC2Backend._delete_security_group  # noqa: SLF001 - both ways end there
    delete_subnet = EC2Backend.delete_subnet

    def delete_unused_group(self: Any, vpc_id: str | None, group_id: str) -> None:
        if _is_used(self, group_id):
            raise DependencyViolationError(f"resource {group_id} has a dependent object")
        delete_group(self, vpc_id, group_id)

    def delete_unused_subnet(self: Any, subnet_id: str) -> Any:
        if any(interface.subnet.id == subnet_id for interface in list(self.enis.values())):
            raise DependencyViolationError(
                f"The subnet '{subnet_id}' has dependencies and cannot be deleted."
            )
        return delete_subnet(self, subnet_id)

    replace(EC2Backend, "_delete_security_group", delete_unused_group)
    replace(EC2Backend, "delete_subnet", delete_unused_subnet)


def _is_used(backend: Any, group_id: str) -> bool:
    """Return whether an interface is in a group, or another group's rules name it."""
    for interface in list(backend.enis.values()):
        if any(group.id == group_id for group in interface.group_set):
            return True
    for groups in list(backend.groups.values()):
        for group in list(groups.values()):
            rules = [*group.ingress_rules, *group.egress_rules]
            sources = [rule.source_group or {} for rule in rules]
            if group.id != group_id and any(
                source.get("GroupId") == group_id for source in sources
            ):
                return True
    return False
