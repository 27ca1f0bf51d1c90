"""The rules that security groups become; nft itself reads them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_aws.machine import ports
from local_aws.machine.ports import Guard, Opening, Publication, Rules
from local_aws.settings import Settings

SSH = Opening("tcp", 22, 22, "127.0.0.1/32")


def published(*openings: Opening) -> list[str]:
    """Return the rules that lead to a host with these openings."""
    rules = Rules(frozenset({Publication("127.20.0.5", "10.1.1.4", openings)}))
    lines = ports.render("t", rules).splitlines()
    return [line.strip() for line in lines if " dnat to " in line]


def test_rule_leads_from_its_clients_and_port_to_the_private_address() -> None:
    assert published(SSH) == [
        "ip saddr 127.0.0.1/32 ip daddr 127.20.0.5 tcp dport 22 dnat to 10.1.1.4"
    ]


# What a user asks for becomes no more than loopback here.
def test_range_open_to_the_world_means_every_loopback_client_here() -> None:
    assert published(Opening("tcp", 8000, 8010, "0.0.0.0/0")) == [
        "ip saddr 127.0.0.0/8 ip daddr 127.20.0.5 tcp dport 8000-8010 dnat to 10.1.1.4"
    ]


@pytest.mark.parametrize("cidr", ["203.0.113.7/32", "10.0.0.0/8", "::/0", "126.0.0.0/8"])
def test_rule_for_clients_elsewhere_publishes_nothing(cidr: str) -> None:
    assert published(Opening("tcp", 22, 22, cidr)) == []


def test_rule_for_all_protocols_publishes_all_ports() -> None:
    assert published(Opening("all", 0, 65535, "127.0.0.0/8")) == [
        "ip saddr 127.0.0.0/8 ip daddr 127.20.0.5 meta l4proto { tcp, udp } dnat to 10.1.1.4"
    ]


def test_two_data_folders_have_two_tables() -> None:
    names = {ports.table_name(Settings(data_dir=Path(folder))) for folder in ("/a", "/b")}
    assert len(names) == 2


OPENINGS = st.builds(
    lambda protocol, edges, cidr: Opening(protocol, min(edges), max(edges), cidr),
    st.sampled_from(["tcp", "udp", "all"]),
    st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
    # Rules as texts only: no port is opened by them.
    st.sampled_from(["127.0.0.1/32", "0.0.0.0/0", "10.1.0.0/16", "10.1.2.9", "::/0", "10.1.1.4"]),
)
# An address beyond IPv4 occurs in no opening of a guard: rules for IPv6 open nothing.
IPV4_OPENINGS = OPENINGS.filter(lambda opening: ":" not in opening.cidr)


@settings(max_examples=40, deadline=None)  # each is a process
@given(
    st.lists(OPENINGS, max_size=5).map(tuple),
    st.lists(IPV4_OPENINGS, max_size=5).map(tuple),
    st.frozensets(st.just("127.20.0.9")),
)
def test_nft_understands_whatever_is_rendered(
    openings: tuple[Opening, ...], inner: tuple[Opening, ...], idle: frozenset[str]
) -> None:
    rules = Rules(
        frozenset({Publication("127.20.0.5", "10.1.1.4", openings)}),
        idle,
        frozenset({"podman7"}),
        frozenset({Guard("10.1.1.4", inner, inner), Guard("10.1.2.9", (), ())}),
    )
    script = ports.render("lah_check", rules) + ports.render_bridges("lah_check", rules)
    checked = subprocess.run(
        [str(ports.program()), "--check", "-f", "-"],
        input=script,
        text=True,
        capture_output=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr + script
