"""What moto's security groups mean for the addresses of this machine."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_aws.ec2 import addresses
from local_aws.machine.ports import Guard, Opening, Publication

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LAST_PORT = 65535


@dataclass(frozen=True)
class Member:
    """A private address and the groups that it is in."""

    address: str
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
                    for opening in _openings(rule, {})
                }
                yield Publication(nic.public_ip, nic.private_ip_address, tuple(sorted(openings)))


def guards() -> Iterator[Guard]:
    """Return what the groups of every address admit, whoever has it."""
    for backend in addresses.backends():
        members = list(_members(backend))
        by_group: dict[str, list[str]] = defaultdict(list)
        for member in members:
            for group in member.groups:
                by_group[group.id].append(member.address)
        for member in members:
            yield Guard(
                member.address,
                _all_openings((group.ingress_rules for group in member.groups), by_group),
                _all_openings((group.egress_rules for group in member.groups), by_group),
            )


def _members(backend: Any) -> Iterator[Member]:
    for nic in list(backend.enis.values()):
        yield Member(nic.private_ip_address, tuple(nic.group_set))
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
                    yield Member(address, tuple(group for group in found if group))


def _all_openings(
    lists: Iterable[Iterable[Any]], by_group: dict[str, list[str]]
) -> tuple[Opening, ...]:
    return tuple(
        sorted(
            {
                opening
                for rules in lists
                for rule in list(rules)
                for opening in _openings(rule, by_group)
            }
        )
    )


def _openings(rule: Any, by_group: dict[str, list[str]]) -> Iterator[Opening]:
    """Return what a rule opens, to a range of addresses or to the members of a group."""
    if rule.ip_protocol == "-1":
        protocol, first, last = "all", 0, LAST_PORT
    elif rule.ip_protocol in {"tcp", "udp"}:
        protocol = rule.ip_protocol
        first, last = (0, LAST_PORT) if rule.from_port == -1 else (rule.from_port, rule.to_port)
    else:
        return
    others = list(by_group.get(rule.source_group.get("GroupId"), ()))
    if cidr := rule.ip_range.get("CidrIp"):
        others.append(cidr)
    for other in others:
        yield Opening(protocol, first, last, other)
