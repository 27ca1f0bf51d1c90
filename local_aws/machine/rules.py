"""What the firewall is to say, and the words of nft for it."""

from __future__ import annotations

from dataclasses import dataclass

LAST_PORT = 65535
ANY = -1


@dataclass(frozen=True, order=True)
class Opening:
    """One rule that lets packets pass.

    Attributes
    ----------
    protocol
        ``tcp``, ``udp``, ``icmp``, ``all``, or a number of IANA's.
    first, last
        Range of ports, both included; with ``icmp`` type and code, -1 for any; of no meaning with
        other protocols.
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
        Interfaces of the networks.
    guards
        Private addresses in these networks, and what their groups admit.
    """

    publications: frozenset[Publication] = frozenset()
    idle: frozenset[str] = frozenset()
    bridges: frozenset[str] = frozenset()
    guards: frozenset[Guard] = frozenset()


def table(family: str, name: str, content: list[str]) -> str:
    """Return the script that replaces all rules of a table; its sets keep their elements."""
    head = f"table {family} {name}"
    return "\n".join([f"{head} {{}}", f"flush {head}", f"{head} {{", *content, "}", ""])


def chain(name: str, hook: str | None, rules: list[str]) -> list[str]:
    """Return the lines of a chain; without a hook, others jump there."""
    head = [f"    type {hook};"] if hook else []
    return [f"  chain {name} {{", *head, *(f"    {rule}" for rule in rules), "  }"]


def element_set(name: str, of: str, *properties: str) -> list[str]:
    """Return the lines of a set of elements that consist of these expressions."""
    return [f"  set {name} {{", f"    typeof {of}", *(f"    {line}" for line in properties), "  }"]


def braces(words: list[str]) -> str:
    """Return an anonymous set."""
    return "{ " + ", ".join(words) + " }"


def traffic(opening: Opening) -> str:
    """Return what matches the protocol and ports of an opening."""
    protocol, first, last = opening.protocol, opening.first, opening.last
    if protocol == "all":
        return ""
    if protocol == "icmp":
        of_type = f"icmp type {first}" if first != ANY else "meta l4proto icmp"
        return of_type + (f" icmp code {last}" if ANY not in {first, last} else "")
    if protocol not in {"tcp", "udp"} or (first, last) == (0, LAST_PORT):
        return f"meta l4proto {protocol}"
    return f"{protocol} dport {first}" + (f"-{last}" if last != first else "")


def admissions(openings: tuple[Opening, ...], address: str, direction: str) -> list[str]:
    """Return what matches packets that leave (``egress``) or enter an address as these allow."""
    own, other = ("saddr", "daddr") if direction == "egress" else ("daddr", "saddr")
    return [
        f"ip {own} {address} ip {other} {opening.cidr} {traffic(opening)}".rstrip()
        for opening in sorted(set(openings))
    ]
