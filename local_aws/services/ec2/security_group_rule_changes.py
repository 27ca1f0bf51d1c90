"""ModifySecurityGroupRules changes groups and prefix lists as well, and never a rule's type.

moto accepts another group or prefix list and keeps the old one. AWS puts the new one in force; a
rule for a range of addresses cannot become one for a group, nor the reverse.

Source: "When you modify a rule, you cannot change the rule type",
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SecurityGroupRuleRequest.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.exceptions import InvalidParameterValue
from moto.ec2.models import EC2Backend

from local_aws.patching import replace
from local_aws.services.ec2 import security_group_networks

if TYPE_CHECKING:
    from local_aws.settings import Settings

_TYPES = ("CidrIpv4", "CidrIpv6", "PrefixListId", "ReferencedGroupId")


def apply(settings: Settings) -> None:
    """Check the types of rules, and change what moto does not."""
    del settings
    modify = EC2Backend.modify_security_group_rules

    def modify_security_group_rules(
        self: Any, group_id: str, rules: dict[str, dict[str, Any]]
    ) -> None:
        group = self.get_security_group_by_name_or_id(group_id)
        existing = {identifier: group and group.get_rule(identifier) for identifier in rules}
        for identifier, wanted in rules.items():
            rule = existing[identifier]
            kinds = [kind for kind in _TYPES if wanted.get(kind) is not None]
            if rule is None or len(kinds) != 1:
                continue
            if kinds != [_type(rule)]:
                raise InvalidParameterValue(
                    f"Invalid rule type for security group rule '{identifier}'. You may "
                    f"not specify {kinds[0]} for an existing {_type(rule)} rule."
                )
            security_group_networks.check(self, group, [wanted.get("ReferencedGroupId")])
        modify(self, group_id, rules)
        for identifier, wanted in rules.items():
            _change(existing[identifier], wanted)

    replace(EC2Backend, "modify_security_group_rules", modify_security_group_rules)


def _type(rule: Any) -> str:
    if rule.prefix_list_id:
        return "PrefixListId"
    if rule.source_group:
        return "ReferencedGroupId"
    return "CidrIpv6" if rule.cidr_ipv6 else "CidrIpv4"


def _change(rule: Any, wanted: dict[str, Any]) -> None:
    if group := wanted.get("ReferencedGroupId"):
        rule.source_group["GroupId"] = group
    if prefix_list := wanted.get("PrefixListId"):
        rule.prefix_list_id = prefix_list
    if cidr := wanted.get("CidrIpv6"):
        rule.ip_range["CidrIpv6"] = cidr
