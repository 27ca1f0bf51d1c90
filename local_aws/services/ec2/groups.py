"""What moto's security groups mean for addresses: the public ones here, and those of networks."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_aws.machine.rules import ANY, LAST_PORT, Guard, Opening, Publication
from local_aws.services.ec2 import addresses

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

HTTPS = 443
_NAMES = {"-1": "all", "all": "all", "6": "tcp", "17": "udp", "1": "icmp"}


@dataclass(frozen=True)
class Member:
    """A private address, the network that it is in, and the groups that it has."""

    address: str
    vpc: str
    groups: tuple[Any, ...]


def publications() -> Iterator[Publication]:
    """Return what leads from public addresses to hosts that are up or about to be."""
    for backend in addresses.backends():
        for nic in list(backend.enis.values()):
            if nic.public_ip and nic.instance and nic.instance.state in {"pending", "running"}:
                openings = {
                    opening
                    for group in list(nic.group_set)
                    for rule in list(group.ingress_rules)
                    for opening in _openings(backend, rule, {})
                }
                yield Publication(nic.public_ip, nic.private_ip_address, tuple(sorted(openings)))


def guards(vpcs: Collection[str]) -> Iterator[Guard]:
    """Return the rules of the security groups of each private address in these networks.

    Parameters
    ----------
    vpcs
        Networks that exist on this machine: others may have the same addresses.
    """
    for backend in addresses.backends():
        members = [member for member in _members(backend) if member.vpc in vpcs]
        for vpc in {member.vpc for member in members}:
            yield from _guards(backend, [member for member in members if member.vpc == vpc])


def may_call_aws(instance: Any) -> bool:
    """Return whether the groups of an instance let it out to AWS's endpoints.

    Which addresses these have on AWS is not known here: a rule for HTTPS counts if it is for a
    prefix list, or for anything outside of the network.
    """
    network = ipaddress.IPv4Network(instance.ec2_backend.get_vpc(instance.vpc_id).cidr_block)
    return any(
        rule.prefix_list_id or not _is_within(opening.cidr, network)
        for nic in list(instance.nics.values())
        for group in list(nic.group_set)
        for rule in list(group.egress_rules)
        if not rule.source_group
        for opening in _openings(instance.ec2_backend, rule, {})
        if opening.protocol == "all"
        or (opening.protocol == "tcp" and opening.first <= HTTPS <= opening.last)
    )


def _is_within(cidr: str, network: ipaddress.IPv4Network) -> bool:
    return ipaddress.IPv4Network(cidr, strict=False).subnet_of(network)


def _guards(backend: Any, members: list[Member]) -> Iterator[Guard]:
    """Return the guards of one network's members."""
    by_group: dict[str, list[str]] = defaultdict(list)
    for member in members:
        for group in member.groups:
            by_group[group.id].append(member.address)
    for member in members:
        yield Guard(
            member.address,
            _all_openings(backend, (group.ingress_rules for group in member.groups), by_group),
            _all_openings(backend, (group.egress_rules for group in member.groups), by_group),
        )


def _members(backend: Any) -> Iterator[Member]:
    for nic in list(backend.enis.values()):
        yield Member(nic.private_ip_address, nic.subnet.vpc_id, tuple(nic.group_set))
    for zones in list(backend.subnets.values()):
        for subnet in list(zones.values()):
            # Functions have no interface in moto, only an entry here.
            owners = subnet._subnet_ips  # noqa: SLF001 - as said
            for address, owner in list(owners.items()):
                config = getattr(owner, "vpc_config", None)
                if config:
                    found = map(
                        backend.get_security_group_from_id, config.get("SecurityGroupIds", [])
                    )
                    yield Member(address, subnet.vpc_id, tuple(group for group in found if group))


def _all_openings(
    backend: Any, lists: Iterable[Iterable[Any]], by_group: dict[str, list[str]]
) -> tuple[Opening, ...]:
    return tuple(
        sorted(
            {
                opening
                for rules in lists
                for rule in list(rules)
                for opening in _openings(backend, rule, by_group)
            }
        )
    )


def _openings(backend: Any, rule: Any, by_group: dict[str, list[str]]) -> Iterator[Opening]:
    """Return what a rule opens: to a range of addresses, a prefix list or a group's members."""
    name = str(rule.ip_protocol).lower()
    protocol = _NAMES.get(name, name)
    first, last = 0, LAST_PORT
    if protocol == "icmp":
        first, last = int(rule.from_port), int(rule.to_port)
    elif protocol in {"tcp", "udp"}:
        if int(rule.from_port) != ANY:
            first, last = int(rule.from_port), int(rule.to_port)
    elif protocol != "all" and not protocol.isdecimal():
        # By name there is only ICMPv6 beside these, and networks have no IPv6.
        return
    others = list(by_group.get(rule.source_group.get("GroupId"), ()))
    if cidr := rule.ip_range.get("CidrIp"):
        others.append(cidr)
    if rule.prefix_list_id:
        others += _entries(backend, rule.prefix_list_id)
    for other in others:
        yield Opening(protocol, first, last, other)


def _entries(backend: Any, prefix_list_id: str) -> list[str]:
    """Return the IPv4 ranges of a prefix list's present version; AWS's own lists have none."""
    found = backend.managed_prefix_lists.get(prefix_list_id)
    if found is None or found.address_family != "IPv4":
        return []
    return [entry["Cidr"] for entry in found.entries.get(found.version or 1) or []]
