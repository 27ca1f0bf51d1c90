"""Security groups between the members of a network.

Packets from one member to another stay on the bridge. A packet that begins something passes when
the groups of its sender let it out and those of its receiver let it in; answers pass. Kernels of
Debian can track connections on a bridge, others cannot, so the table remembers by itself what may
be answered: in sets, for as long as EC2 tracks such a flow. For TCP the flags show it.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security-group-connection-tracking.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_aws.machine.networks import mac_address
from local_aws.machine.rules import admissions, braces, chain, element_set, table

if TYPE_CHECKING:
    from local_aws.machine.rules import Rules

# EC2's default timeout for UDP streams, used for every protocol except TCP.
_KEPT = ("flags dynamic,timeout", "timeout 180s", "size 65535")
_SETS = [
    *element_set("datagrams", "ip saddr . udp sport . ip daddr . udp dport", *_KEPT),
    *element_set("pings", "ip saddr . ip daddr . icmp id", *_KEPT),
    *element_set("others", "ip saddr . ip daddr . ip protocol", *_KEPT),
]
_ERRORS = "{ destination-unreachable, time-exceeded, parameter-problem }"
_ANSWERS = [
    "ether type != ip accept",
    "tcp flags & (syn | ack) != syn accept",
    f"icmp type {_ERRORS} accept",
    "icmp type echo-reply ip saddr . ip daddr . icmp id @pings accept",
    "ip saddr . udp sport . ip daddr . udp dport @datagrams accept",
    "ip protocol != { tcp, udp, icmp } ip saddr . ip daddr . ip protocol @others accept",
    # Only the first part of a packet says what it is; without it the rest is of no use.
    "ip frag-off & 0x1fff != 0 accept",
]
_REMEMBER = [
    "meta l4proto udp update @datagrams { ip daddr . udp dport . ip saddr . udp sport }",
    "icmp type echo-request update @pings { ip daddr . ip saddr . icmp id }",
    "ip protocol != { tcp, udp, icmp } update @others { ip daddr . ip saddr . ip protocol }",
    "accept",
]


def render_bridges(name: str, rules: Rules) -> str:
    """Return the nft script that replaces the table on the bridges."""
    guards = sorted(rules.guards)
    if not guards:
        return table("bridge", name, [])
    guarded = braces([guard.address for guard in guards])
    neighbours = braces([mac_address(guard.address) for guard in guards])
    leave, enter = [], []
    for guard in guards:
        leave += [
            f"{rule} goto enter" for rule in admissions(guard.egress, guard.address, "egress")
        ]
        enter += [
            f"{rule} goto remember" for rule in admissions(guard.ingress, guard.address, "ingress")
        ]
    return table(
        "bridge",
        name,
        [
            *_SETS,
            *chain("remember", None, _REMEMBER),
            *chain("enter", None, [*enter, f"ip daddr {guarded} drop"]),
            *chain("leave", None, [*leave, f"ip saddr {guarded} drop", "goto enter"]),
            # Networks have no IPv6; neighbours would still find each other by it.
            *chain(
                "only_ipv4",
                "filter hook prerouting priority 0",
                [f"ether type ip6 ether saddr {neighbours} drop"],
            ),
            *chain("open", "filter hook forward priority 0", [*_ANSWERS, "jump leave"]),
        ],
    )
