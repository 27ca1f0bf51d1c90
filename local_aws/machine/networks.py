"""A VPC is a bridge of podman's with the VPC's range of addresses."""

from __future__ import annotations

import ipaddress
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from local_aws.errors import LocalAwsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from local_aws.machine.podman import Podman

_lock = threading.Lock()
_observers: list[Callable[[str], None]] = []


def observe(observer: Callable[[str], None]) -> None:
    """Call `observer` with the VPC's id whenever a network was made, before anything is in it."""
    _observers.append(observer)


def ensure(podman: Podman, vpc: Any) -> str:
    """Return the name of the network of a VPC of moto's; make it if it is missing.

    Raises
    ------
    LocalAwsError
        When the range is taken by another network of this machine.
    """
    name: str = vpc.id
    with _lock:
        if not podman.exists("network", name):
            _create(podman, vpc)
            for observer in _observers:
                observer(name)
    return name


def _create(podman: Podman, vpc: Any) -> None:
    _check_free(podman, vpc.cidr_block, vpc.id)
    podman.run(
        "network",
        "create",
        f"--label={podman.label}",
        f"--subnet={vpc.cidr_block}",
        f"--gateway={ipaddress.ip_network(vpc.cidr_block)[1]}",
        # Names come from the control machine's own resolver; no server listens on the bridge.
        "--disable-dns",
        vpc.id,
    )


def mac_address(address: str) -> str:
    """Return the hardware address that belongs to an address of a VPC.

    Neighbours remember whose an address is, for most of a minute. Whoever has it next, or again,
    has to be found at the same place.
    """
    return "02:00:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(address).packed)


def place(network: str, address: str) -> list[str]:
    """Return podman's arguments for a container with an address in a network."""
    return [
        f"--network={network}",
        f"--ip={address}",
        f"--mac-address={mac_address(address)}",
    ]


def remove(podman: Podman, vpc_id: str) -> None:
    """Remove the network of a VPC, if it was ever made."""
    if podman.exists("network", vpc_id):
        podman.run("network", "rm", vpc_id)


def bridge(podman: Podman, vpc_id: str) -> str:
    """Return the interface of a VPC's network."""
    found = json.loads(podman.run("network", "inspect", vpc_id).stdout)
    name: str = found[0]["network_interface"]
    return name


def _check_free(podman: Podman, cidr: str, name: str) -> None:
    wanted = ipaddress.ip_network(cidr)
    networks: list[dict[str, Any]] = json.loads(podman.run("network", "ls", "--format=json").stdout)
    for network in networks:
        for subnet in network.get("subnets") or []:
            if wanted.overlaps(ipaddress.ip_network(subnet["subnet"])):
                owner = (network.get("labels") or {}).get("local-aws")
                of = f" of the local AWS in {unquote(owner)}" if owner else ""
                raise LocalAwsError(
                    f"{name} cannot have the range {cidr}: podman's network {network['name']}{of} "
                    f"has {subnet['subnet']} on this machine. Choose another range for the VPC, "
                    "or remove that network."
                )
    for interface, route in _routes():
        if wanted.overlaps(route):
            raise LocalAwsError(
                f"{name} cannot have the range {cidr}: this machine reaches {route} through "
                f"{interface}. Choose another range for the VPC."
            )


def _routes() -> list[tuple[str, ipaddress.IPv4Network]]:
    """Return this machine's routes, the default one left out."""
    found = []
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        interface, destination, _, _, _, _, _, mask = line.split()[:8]
        if int(mask, 16):
            route = ipaddress.IPv4Network((_address(destination), _address(mask)))
            found.append((interface, route))
    return found


def _address(word: str) -> str:
    return str(ipaddress.IPv4Address(int.from_bytes(bytes.fromhex(word), "little")))
