"""Security groups at work: public addresses on loopback, and who in a network may speak to whom.

Two nft tables per local AWS, rendered from the whole state and replaced in one transaction. In the
first, a packet to a public address is sent on to the container's address when a rule admits it,
and refused otherwise. Nothing listens on the public addresses, so what the control machine itself
serves on the same ports is neither in the way nor reachable through them. The second stands on the
bridges and lets containers open only those connections to each other that the groups of both
admit; the control machine is not on the bridge and reaches all.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local_aws.errors import LocalAwsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from local_aws.settings import Settings

LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


@dataclass(frozen=True, order=True)
class Opening:
    """Who may reach which ports.

    Attributes
    ----------
    protocol
        ``tcp``, ``udp`` or ``all``.
    first, last
        Range of ports, both included; of no meaning with ``all``.
    cidr
        Addresses at the other end.
    """

    protocol: str
    first: int
    last: int
    cidr: str


@dataclass(frozen=True, order=True)
class Publication:
    """A public address that leads to a private one, as far as the openings go."""

    public: str
    private: str
    openings: tuple[Opening, ...]


@dataclass(frozen=True, order=True)
class Guard:
    """What the groups of one private address admit, in each direction."""

    address: str
    ingress: tuple[Opening, ...]
    egress: tuple[Opening, ...]


@dataclass(frozen=True)
class Rules:
    """All that the tables are to say.

    Attributes
    ----------
    publications
        Public addresses in use.
    idle
        Public addresses that belong to us but lead nowhere at present.
    bridges
        Interfaces behind which the published private addresses lie.
    guards
        Private addresses between which the groups are in force.
    """

    publications: frozenset[Publication] = frozenset()
    idle: frozenset[str] = frozenset()
    bridges: frozenset[str] = frozenset()
    guards: frozenset[Guard] = frozenset()


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


def remove(settings: Settings) -> None:
    """Remove the tables, if there are any."""
    nft = program()
    if nft is None:
        return
    listed = subprocess.run(
        [nft, "list", "tables"], capture_output=True, text=True, check=True
    ).stdout
    table = table_name(settings)
    for family in ("ip", "bridge"):
        if f"table {family} {table}" in listed.splitlines():
            _nft(f"delete table {family} {table}\n")


def render(table: str, rules: Rules) -> str:
    """Return the nft script that replaces the table of the public addresses."""
    published = sorted(rules.publications)
    public = sorted({publication.public for publication in published} | rules.idle)
    private = sorted({publication.private for publication in published})
    # Before podman's own chain, at -100.
    chains = _chain(
        "publish",
        "nat hook output priority -110",
        [rule for publication in published for rule in _published(publication)],
    )
    if public:
        chains += _chain(
            "refuse",
            "filter hook output priority 0",
            [
                f"ip daddr {_set(public)} meta l4proto tcp reject with tcp reset",
                f"ip daddr {_set(public)} reject",
            ],
        )
    if private:
        chains += _chain(
            "come_back",
            "nat hook postrouting priority 90",
            [f"ip saddr {LOOPBACK} ip daddr {_set(private)} masquerade"],
        )
    if rules.bridges:
        # The bridges let loopback addresses out; none may come in.
        chains += _chain(
            "keep_out",
            "filter hook prerouting priority -300",
            [f"iifname {_set(sorted(rules.bridges))} ip daddr {LOOPBACK} drop"],
        )
    return _table("ip", table, chains)


def render_bridges(table: str, rules: Rules) -> str:
    """Return the nft script that replaces the table on the bridges.

    It looks at the packet that opens a TCP connection: bridges cannot be relied on to track
    connections, and every service in the networks speaks TCP.
    """
    guards = sorted(rules.guards)
    if not guards:
        return _table("bridge", table, [])
    guarded = _set([guard.address for guard in guards])
    leave, enter = [], []
    for guard in guards:
        leave += [
            f"ip saddr {guard.address} ip daddr {opening.cidr} {ports} goto enter"
            for opening, ports in _tcp(guard.egress)
        ]
        enter += [
            f"ip daddr {guard.address} ip saddr {opening.cidr} {ports} accept"
            for opening, ports in _tcp(guard.ingress)
        ]
    return _table(
        "bridge",
        table,
        [
            *_chain("enter", None, [*enter, f"ip daddr {guarded} drop"]),
            *_chain("leave", None, [*leave, f"ip saddr {guarded} drop", "goto enter"]),
            *_chain(
                "open",
                "filter hook forward priority 0",
                ["tcp flags & (syn | ack) == syn jump leave"],
            ),
        ],
    )


def _table(family: str, name: str, chains: list[str]) -> str:
    head = f"table {family} {name}"
    return "\n".join([f"{head} {{}}", f"delete {head}", f"{head} {{", *chains, "}", ""])


def _chain(name: str, hook: str | None, rules: list[str]) -> list[str]:
    head = [f"    type {hook};"] if hook else []
    return [f"  chain {name} {{", *head, *(f"    {rule}" for rule in rules), "  }"]


def _set(words: list[str]) -> str:
    return "{ " + ", ".join(words) + " }"


def _published(publication: Publication) -> Iterator[str]:
    for opening in sorted(set(publication.openings)):
        clients = _on_loopback(opening.cidr)
        if clients is not None:
            yield (
                f"ip saddr {clients} ip daddr {publication.public} {_ports(opening)} "
                f"dnat to {publication.private}"
            )


def _tcp(openings: Iterable[Opening]) -> Iterator[tuple[Opening, str]]:
    for opening in sorted(set(openings)):
        if opening.protocol == "all":
            yield opening, "meta l4proto tcp"
        elif opening.protocol == "tcp":
            yield opening, _ports(opening)


def _ports(opening: Opening) -> str:
    if opening.protocol == "all":
        return "meta l4proto { tcp, udp }"
    if (opening.first, opening.last) == (0, 65535):
        return f"meta l4proto {opening.protocol}"
    if opening.first == opening.last:
        return f"{opening.protocol} dport {opening.first}"
    return f"{opening.protocol} dport {opening.first}-{opening.last}"


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


def _bridges_can_filter(table: str) -> bool:
    """Ask the kernel, for small ones leave it out."""
    chain = _chain("probe", "filter hook forward priority 0", ["tcp flags syn drop"])
    result = _run_nft("--check", script=_table("bridge", table, chain))
    if result.returncode:
        print(
            "local AWS: this kernel cannot filter on bridges, so security groups are not in force "
            "between hosts of one network",
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
