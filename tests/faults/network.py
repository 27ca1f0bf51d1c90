"""The network between host and database, changed in the host's own network namespace."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from tests.faults.fault import Fault
from tests.sites_below import in_network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from tests.faults.fault import Apply
    from tests.sites_below import Site

PORT = 5432
TABLE = "faults"
BOTH_WAYS = """
table inet {table} {{
    chain out {{
        type filter hook output priority 0;
        tcp dport {port} {out}
    }}
    chain in {{
        type filter hook input priority 0;
        tcp sport {port} {into}
    }}
}}
"""
SLOW = ("rate", "160kbit", "burst", "4kbit", "latency", "3s")


def remove_rules(process: int) -> None:
    in_network(process, "nft", "delete", "table", "inet", TABLE)


def rules(out: str, into: str) -> Apply:
    """Return a fault that rules for packets to and from the database make."""

    @contextlib.contextmanager
    def apply(site: Site, _: ExitStack) -> Iterator[None]:
        process = site.process_of(site.instance)
        script = BOTH_WAYS.format(table=TABLE, port=PORT, out=out, into=into)
        in_network(process, "nft", "-f", "-", script=script)
        try:
            yield
        finally:
            remove_rules(process)

    return apply


@contextlib.contextmanager
def half_open(site: Site, stack: ExitStack) -> Iterator[None]:
    """Lose all packets of the connections of now, permanently; new connections work.

    So it is after a firewall or a failover has forgotten connections: neither side is notified.
    """
    process = site.process_of(site.instance)
    listed = in_network(process, "ss", "-Htn", "dst", f"{site.database_address}:{PORT}")
    ports = ", ".join(re.findall(r"\S+:(\d+)\s+\S+:5432\b", listed))
    assert ports, listed
    script = BOTH_WAYS.format(
        table=TABLE,
        port=PORT,
        out=f"tcp sport {{ {ports} }} drop",
        into=f"tcp dport {{ {ports} }} drop",
    )
    in_network(process, "nft", "-f", "-", script=script)
    stack.callback(remove_rules, process)
    yield


@contextlib.contextmanager
def slow(site: Site, _: ExitStack) -> Iterator[None]:
    """Let few bytes pass: those that host and database send each other wait in queues."""
    # The host's interface has the clients' packets too, so the queue is the database's.
    process = site.database_process
    in_network(process, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", *SLOW)
    try:
        yield
    finally:
        in_network(process, "tc", "qdisc", "del", "dev", "eth0", "root")


LOSE = "numgen random mod 100 < 15 drop"
FAULTS = (
    Fault("network to PostgreSQL slow", slow, seconds=10),
    Fault("network to PostgreSQL lossy", rules(LOSE, LOSE), seconds=10),
    Fault("network to PostgreSQL cut", rules("drop", "drop"), seconds=15),
    Fault("connections to PostgreSQL half-open", half_open, limit=90),
    Fault(
        "connections to PostgreSQL reset",
        rules("reject with tcp reset", "accept"),
        seconds=5,
    ),
)
