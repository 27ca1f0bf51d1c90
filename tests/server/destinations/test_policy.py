"""Which addresses the server connects to in a user's name, and which locations hold artifacts."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Any

import pytest
import requests
from mlflow_host.patches import destinations
from mlflow_host.patches.destinations import (
    ForbiddenDestinationError,
    Policy,
    guarded_session,
)

from tests.listener import REDIRECTS, listening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.listener import Listener

PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::101:101"]
FORBIDDEN = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "255.255.255.255"),  # noqa: S104  an address of the tests
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255"),
    *("169.254.169.254", "169.254.169.253", "169.254.170.2", "192.0.0.192", "168.63.129.16"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "198.18.0.1", "192.0.2.1", "203.0.113.1"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1"),
    *("ff02::1", "ff0e::1", "2001:db8::1", "::ffff:169.254.169.254", "::ffff:1.1.1.1"),
    *("::127.0.0.1", "::1.1.1.1", "2002:7f00:1::", "2002:101:101::", "2001:0:101:101::"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b:1::a00:1"),
]
LOOPBACK = Policy((ipaddress.ip_network("127.0.0.1/32"),))


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    with listening() as heard:
        yield heard


@pytest.mark.parametrize("address", PUBLIC)
def test_policy_public_address_is_allowed(address: str) -> None:
    assert Policy().allows(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", FORBIDDEN)
def test_policy_other_address_is_allowed_only_when_listed(address: str) -> None:
    parsed = ipaddress.ip_address(address)

    assert not Policy().allows(parsed)
    assert not Policy((ipaddress.ip_network("10.200.0.0/16"),)).allows(parsed)
    network = ipaddress.ip_network(address.partition("%")[0])
    if "%" not in address:
        assert Policy((network,)).allows(parsed)


@pytest.mark.parametrize(
    "host", ["localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::]"]
)
def test_policy_other_spelling_of_loopback_is_refused(host: str) -> None:
    with pytest.raises(ForbiddenDestinationError):
        Policy().check(host.strip("[]"), 443, listed_only=False)


def test_policy_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, ["1.1.1.1", "10.0.0.1"])

    with pytest.raises(ForbiddenDestinationError, match=r"10\.0\.0\.1 is not a public address"):
        Policy().check("example.org", 443, listed_only=False)


def resolve(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Give each question about a name the next of the answers, and at the end always the last."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int | None, *_: Any, **__: Any) -> list[Any]:
        addresses = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port or 0)) for one in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_session_connects_to_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> None:
    """A name that is rebound after the check must not matter: it is resolved once."""
    resolve(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    port = listener.url.rpartition(":")[2]
    connected: list[str] = []
    connect = destinations.connect

    def spy(target: destinations.Target, settings: Any) -> socket.socket:
        connected.append(target[1][0])
        return connect(target, settings)

    monkeypatch.setattr(destinations, "connect", spy)
    answer = guarded_session(requests.Session(), LOOPBACK).post(f"http://name.test:{port}/hook")

    assert answer.status_code == 200
    assert connected == ["127.0.0.1"]
    assert listener.requests[-1][1]["host"] == f"name.test:{port}"


def test_session_name_that_was_rebound_is_refused_before_it_is_called(
    monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> None:
    resolve(monkeypatch, ["127.0.0.1"])
    before = len(listener.requests)

    with pytest.raises(ForbiddenDestinationError):
        guarded_session(requests.Session(), Policy()).post(
            listener.url.replace("127.0.0.1", "name.test")
        )
    assert len(listener.requests) == before


@pytest.mark.parametrize("path", sorted(REDIRECTS))
def test_session_redirect_is_refused(listener: Listener, path: str) -> None:
    with pytest.raises(ForbiddenDestinationError, match="redirect"):
        guarded_session(requests.Session(), LOOPBACK).post(f"{listener.url}{path}", data=b"x")
    assert listener.requests[-1][0] == path


def test_session_proxy_of_the_environment_is_not_used(
    monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    assert guarded_session(requests.Session(), LOOPBACK).post(listener.url).ok


def test_session_plain_http_needs_a_listed_address(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, ["1.1.1.1"])

    with pytest.raises(ForbiddenDestinationError, match="not a valid destination for plain HTTP"):
        guarded_session(requests.Session(), LOOPBACK).post("http://example.org/")
