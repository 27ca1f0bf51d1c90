"""Security groups at work: public addresses on loopback, and who may speak to whom.

Two nft tables per local AWS, rendered from the whole state and replaced in one transaction. In the
first, a packet to a public address is sent on to the container's address when a rule admits it,
and refused otherwise. Nothing listens on the public addresses, so what the control machine itself
serves on the same ports is neither in the way nor reachable through them. The same table holds
what leaves a network against the groups' outgoing rules, and keeps everybody outside from private
addresses: other networks, and the control machine, which on AWS has no route to them either. Only
doors that were opened on purpose lead there. The second table is on the bridges, see
`bridges`.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from local_aws.errors import LocalAwsError
from local_aws.machine.bridges import render_bridges
from local_aws.machine.rules import (
    Guard,
    Opening,
    Publication,
    Rules,
    admissions,
    braces,
    chain,
    element_set,
    table,
    traffic,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_aws.settings import Settings

__all__ = ["Firewall", "Guard", "Opening", "Publication", "Rules", "render", "render_bridges"]

LOOPBACK = ipaddress.ip_network("127.0.0.0/8")
# Packets of local AWS itself, which looks whether a host is up.
MARK = 0x6C617773
_RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


class Firewall:
    """The tables of one local AWS; one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        """Change nothing yet."""
        self._table = table_name(settings)
        self._applied: str | None = None
        self._with_bridges: bool | None = None

    def apply(self, rules: Rules) -> None:
        """Make the tables say this and nothing else.

        Raises
        ------
        LocalAwsError
            When nft is missing or refuses.
        """
        for bridge in rules.bridges:
            _let_loopback_through(bridge)
        if self._with_bridges is None:
            self._with_bridges = _bridges_can_filter(self._table)
        script = render(self._table, rules)
        if self._with_bridges:
            script += render_bridges(self._table, rules)
        if script != self._applied:
            _nft(script)
            self._applied = script


def table_name(settings: Settings) -> str:
    """Return the name of the table, which no other local AWS has."""
    return "local_aws_" + hashlib.sha256(str(settings.data_dir).encode()).hexdigest()[:8]


def open_door(settings: Settings, address: str, port: int) -> None:
    """Let this machine reach a TCP port of a private address, until local AWS stops.

    Raises
    ------
    LocalAwsError
        If this local AWS has not created a network yet.
    """
    if _tables(table_name(settings), ("ip",)):
        _nft(f"add element ip {table_name(settings)} doors {{ {address} . {port} }}\n")
    else:
        raise LocalAwsError(
            f"{address}: local AWS of {settings.data_dir} has no network. Create what has this "
            "address first."
        )


def remove(settings: Settings) -> None:
    """Remove the tables, if there are any."""
    name = table_name(settings)
    for family in _tables(name, ("ip", "bridge")):
        _nft(f"delete table {family} {name}\n")


def _tables(name: str, families: tuple[str, ...]) -> list[str]:
    """Return the families in which there is a table of this name."""
    nft = program()
    if nft is None:
        return []
    listed = subprocess.run(
        [nft, "list", "tables"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [family for family in families if f"table {family} {name}" in listed]


def render(name: str, rules: Rules) -> str:
    """Return the nft script that replaces the table of the public addresses."""
    published = sorted(rules.publications)
    public = sorted({publication.public for publication in published} | rules.idle)
    private = sorted({publication.private for publication in published})
    # Before podman's own chain, at -100.
    chains = chain(
        "publish",
        "nat hook output priority -110",
        [rule for publication in published for rule in _published(publication)],
    )
    if public:
        chains += chain(
            "refuse",
            "filter hook output priority 0",
            [
                f"ip daddr {braces(public)} meta l4proto tcp reject with tcp reset",
                f"ip daddr {braces(public)} reject",
            ],
        )
    if private:
        chains += chain(
            "come_back",
            "nat hook postrouting priority 90",
            [f"ip saddr {LOOPBACK} ip daddr {braces(private)} masquerade"],
        )
    if rules.bridges:
        # The bridges let loopback addresses out; none may come in.
        chains += chain(
            "keep_out",
            "filter hook prerouting priority -300",
            [f"iifname {braces(sorted(rules.bridges))} ip daddr {LOOPBACK} drop"],
        )
    if rules.guards:
        chains += _boundary(sorted(rules.guards), sorted(rules.bridges))
    return table("ip", name, element_set("doors", "ip daddr . tcp dport") + chains)


def _boundary(guards: list[Guard], bridges: list[str]) -> list[str]:
    """Return the chains between the networks and everything outside."""
    members = braces([guard.address for guard in guards])
    answers = "ct state established,related accept"
    # No security group restricts the use of the network's resolver.
    resolvers = [
        f"ip daddr {address} {protocol} dport 53 accept"
        for address in _resolvers()
        for protocol in ("tcp", "udp")
    ]
    egress = [
        f"{rule} accept"
        for guard in guards
        for rule in admissions(guard.egress, guard.address, "egress")
    ]
    # Seen here only where bridged packets come by, too (net.bridge.bridge-nf-call-iptables).
    bridged = [f"iifname {bridge} oifname {bridge} accept" for bridge in bridges]
    # Networks are not connected with each other.
    apart = [f"oifname {braces(bridges)} drop"] if bridges else []
    return [
        *chain("outside", None, [*resolvers, *egress, "drop"]),
        *chain(
            "routed",
            "filter hook forward priority 0",
            [answers, *bridged, *apart, f"ip saddr {members} goto outside"],
        ),
        *chain(
            "to_this_machine",
            "filter hook input priority 0",
            [answers, f"ip saddr {members} goto outside"],
        ),
        *chain(
            "from_this_machine",
            "filter hook output priority 10",
            [
                answers,
                f"ip daddr != {members} accept",
                "ct status dnat accept",
                f"meta mark {MARK:#x} accept",
                "ip daddr . tcp dport @doors accept",
                "reject with icmp type net-unreachable",
            ],
        ),
    ]


def _resolvers() -> list[str]:
    """Return the name servers of this machine, which podman gives to containers as well."""
    lines = [
        line.split()
        for path in _RESOLVERS
        if path.is_file()
        for line in path.open(errors="replace")
    ]
    found = {words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"}
    return sorted(address for address in found if _is_elsewhere(address))


def _is_elsewhere(address: str) -> bool:
    try:
        return ipaddress.IPv4Address(address) not in LOOPBACK
    except ValueError:
        return False


def _published(publication: Publication) -> Iterator[str]:
    for opening in sorted(set(publication.openings)):
        clients = _on_loopback(opening.cidr)
        if clients is not None and opening.protocol in {"tcp", "udp", "all"}:
            matched = traffic(opening) or "meta l4proto { tcp, udp }"
            yield (
                f"ip saddr {clients} ip daddr {publication.public} {matched} "
                f"dnat to {publication.private}"
            )


def _on_loopback(cidr: str) -> str | None:
    """Return the part of a range that can be a client's address here."""
    network = ipaddress.ip_network(cidr, strict=False)
    if network.version != LOOPBACK.version or not network.overlaps(LOOPBACK):
        return None
    return str(network if network.prefixlen > LOOPBACK.prefixlen else LOOPBACK)


def _let_loopback_through(bridge: str) -> None:
    switch = Path(f"/proc/sys/net/ipv4/conf/{bridge}/route_localnet")
    # The bridge comes and goes with the network's containers.
    if switch.is_file() and switch.read_text().strip() != "1":
        switch.write_text("1")


def program() -> str | None:
    """Return where nft is; None when it is not installed."""
    return shutil.which("nft", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def _bridges_can_filter(name: str) -> bool:
    """Ask the kernel, for small ones leave it out."""
    probe = Opening("all", 0, 65535, "192.0.2.0/24")
    rules = Rules(guards=frozenset({Guard("192.0.2.1", (probe,), (probe,))}))
    result = _run_nft("--check", script=render_bridges(name, rules))
    if result.returncode:
        print(
            "local AWS: this kernel cannot filter on bridges, so security groups are not in force "
            f"between members of one network: {result.stderr.strip()}",
            file=sys.stderr,
            flush=True,
        )
    return result.returncode == 0


def _nft(script: str) -> None:
    result = _run_nft(script=script)
    if result.returncode:
        raise LocalAwsError(f"nft refuses the rules of the security groups:\n{result.stderr}")


def _run_nft(*options: str, script: str) -> subprocess.CompletedProcess[str]:
    nft = program()
    if nft is None:
        raise LocalAwsError(
            "nft is not installed, which publishes the hosts' ports: install the package nftables."
        )
    return subprocess.run(
        [nft, *options, "-f", "-"], input=script, capture_output=True, text=True, check=False
    )
