"""A change of a security group's rule descriptions is acknowledged.

moto answers with an empty result. AWS answers with ``return``, true when the call succeeds, which
`amazon.aws.ec2_security_group` reads.

Source:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_UpdateSecurityGroupRuleDescriptionsIngress.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.ec2.responses.security_groups import SecurityGroups

from local_aws.patching import replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from local_aws.settings import Settings


def apply(settings: Settings) -> None:
    """Answer as AWS does."""
    del settings
    for direction in ("ingress", "egress"):
        name = f"update_security_group_rule_descriptions_{direction}"
        replace(SecurityGroups, name, _acknowledged(getattr(SecurityGroups, name)))


def _acknowledged(change: Callable[[Any], Any]) -> Callable[[Any], ActionResult]:
    def answer(self: Any) -> ActionResult:
        change(self)
        return ActionResult({"Return": True})

    return answer
