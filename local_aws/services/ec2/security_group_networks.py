"""A rule names only security groups of its own network.

In moto a rule may name any group of the account. AWS refuses a group of another VPC that is not
peered with the rule's: otherwise a rule would look right and admit nobody. Peered networks are not
connected here, so their groups are refused as well.

Source: "You can specify a security group in your VPC or in a peered VPC",
https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html; the error is that which
users quote in https://github.com/ansible/ansible/pull/28876.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend

from local_aws.patching import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from local_aws.settings import Settings


def apply(settings: Settings) -> None:
    """Check the groups that new rules name."""
    del settings
    for direction in ("ingress", "egress"):
        name = f"authorize_security_group_{direction}"
        replace(EC2Backend, name, _checked(getattr(EC2Backend, name)))


def check(backend: Any, group: Any, others: Iterable[str | None]) -> None:
    """Refuse groups that are in another network than `group`."""
    for other in others:
        found = backend.get_security_group_from_id(other) if other else None
        if found is not None and found.vpc_id != group.vpc_id:
            raise EC2ClientError(
                "InvalidGroup.NotFound",
                "You have specified two resources that belong to different networks.",
            )


def _checked(authorize: Callable[..., Any]) -> Callable[..., Any]:
    def authorize_within_network(
        self: Any,
        group_name_or_id: str,
        *arguments: Any,
        source_groups: list[dict[str, Any]] | None = None,
        **named: Any,
    ) -> Any:
        group = self.get_security_group_by_name_or_id(group_name_or_id)
        if group is not None:
            check(self, group, (source.get("GroupId") for source in source_groups or []))
        return authorize(self, group_name_or_id, *arguments, source_groups=source_groups, **named)

    return authorize_within_network
