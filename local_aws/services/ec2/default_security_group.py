"""The default security group of a VPC admits its own members.

In moto the group has no incoming rule. In AWS it has one that allows all traffic from the group
itself, so that whoever closes the group needs the right to revoke incoming rules.

Source: https://docs.aws.amazon.com/vpc/latest/userguide/default-security-group.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.models import EC2Backend

from local_aws.patching import replace

if TYPE_CHECKING:
    from local_aws.settings import Settings


def apply(settings: Settings) -> None:
    """Add the rule to each default group."""
    del settings
    create = EC2Backend.create_security_group

    def create_security_group(self: Any, *arguments: Any, **named: Any) -> Any:
        group = create(self, *arguments, **named)
        if group.is_default:
            self.authorize_security_group_ingress(
                group.id, "-1", None, None, [], source_groups=[{"GroupId": group.id}]
            )
        return group

    replace(EC2Backend, "create_security_group", create_security_group)
