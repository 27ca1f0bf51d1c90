"""Addresses that an instance can really have.

moto draws private addresses at random or hands out ones that AWS keeps for itself, and its public
ones belong to somebody on the Internet. Here a private address is the lowest free one of its
subnet above the four that AWS reserves, and a public one is in 127.20.0.0/16, where nft can
publish it on this machine. What moto forgets of an interface's life is put right as well: the
interface of an instance goes with the instance, and an Elastic IP stays through stop and start.
"""

from __future__ import annotations

import ipaddress
import itertools
import random
import threading
from typing import TYPE_CHECKING, Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends, elastic_ip_addresses
from moto.ec2.models import elastic_network_interfaces as interfaces
from moto.ec2.models.subnets import Subnet

from local_aws.patching import replace

if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLIC = ipaddress.ip_network("127.20.0.0/16")
# The network's, the router's, the resolver's, and one for the future; and the broadcast address.
RESERVED_BELOW = 4

_lock = threading.Lock()
_random = random.SystemRandom()


def apply() -> None:
    """Replace moto's ways to find an address."""
    replace(Subnet, "get_available_subnet_ip", _take_private)
    replace(Subnet, "request_ip", _request_private)
    replace(interfaces, "random_public_ip", take_public)
    replace(elastic_ip_addresses, "random_ip", take_public)
    replace(interfaces.NetworkInterface, "check_auto_public_ip", _assign_public)
    replace(interfaces.NetworkInterface, "stop", _withdraw_public)
    create = EC2Backend.create_network_interface

    def create_with_address(
        self: Any,
        subnet: Any,
        private_ip_address: Any,
        private_ip_addresses: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        if not private_ip_address and not private_ip_addresses:
            where = self.get_subnet(subnet) if isinstance(subnet, str) else subnet
            private_ip_address = where.get_available_subnet_ip(None)
        return create(self, subnet, private_ip_address, private_ip_addresses, *args, **kwargs)

    replace(EC2Backend, "create_network_interface", create_with_address)


def take_public() -> str:
    """Return a public address that is not in use; at random, for the sake of other local AWS."""
    with _lock:
        used = set(public_addresses())
        while True:
            candidate = str(PUBLIC[_random.randrange(1, PUBLIC.num_addresses - 1)])
            if candidate not in used:
                return candidate


def public_addresses() -> Iterator[str]:
    """Return every public address that moto knows of."""
    for backend in backends():
        yield from (address.public_ip for address in list(backend.addresses))
        yield from (nic.public_ip for nic in list(backend.enis.values()) if nic.public_ip)


def backends() -> Iterator[Any]:
    """Return moto's EC2 of each account and region."""
    for regions in list(ec2_backends.values()):
        yield from list(regions.values())


def _take_private(self: Any, instance: Any) -> str:
    with _lock:
        taken = _taken(self)
        for number in range(RESERVED_BELOW, self.cidr.num_addresses - 1):
            candidate = self.cidr[number]
            if candidate not in self._reserved_ips and str(candidate) not in taken:
                self._subnet_ips[str(candidate)] = instance
                return str(candidate)
    raise EC2ClientError(
        "InsufficientFreeAddressesInSubnet",
        f"There are not enough free addresses in subnet '{self.id}' to satisfy the request.",
    )


def _request_private(self: Any, ip: str, instance: Any) -> None:
    address = ipaddress.ip_address(ip)
    if address not in self.cidr:
        raise EC2ClientError(
            "InvalidParameterValue", f"Address {ip} does not fall within the subnet's address range"
        )
    position = int(address) - int(self.cidr.network_address)
    if not RESERVED_BELOW <= position < self.cidr.num_addresses - 1:
        raise EC2ClientError(
            "InvalidParameterValue", f"Address {ip} is in subnet's reserved address range"
        )
    with _lock:
        if ip in _taken(self):
            raise EC2ClientError("InvalidIPAddress.InUse", f"Address {ip} is in use.")
        self._subnet_ips[ip] = instance


def _taken(subnet: Any) -> set[str]:
    of_interfaces = itertools.chain.from_iterable(
        nic.private_ip_addresses
        for nic in list(subnet.ec2_backend.enis.values())
        if nic.subnet.id == subnet.id
    )
    known = subnet._subnet_ips  # noqa: SLF001 - addresses without an interface are there
    return {*known, *(item["PrivateIpAddress"] for item in of_interfaces)}


def _elastic(nic: Any) -> Any:
    return next((a for a in nic.ec2_backend.addresses if a.eni is nic), None)


def _assign_public(self: Any) -> None:
    wanted = str(self.public_ip_auto_assign).lower() == "true"
    if wanted and _elastic(self) is None:
        self.public_ip = take_public()


def _withdraw_public(self: Any) -> None:
    if self.public_ip_auto_assign and _elastic(self) is None:
        self.public_ip = None
