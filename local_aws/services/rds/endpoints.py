"""The endpoints of DB instances: an address in a subnet, with a network interface.

1. A new instance takes an address in the first subnet of its subnet group.
2. A renamed instance takes another address. The former address is reserved for the former name,
   because on RDS the endpoint belongs to the identifier.
3. The next instance with that name takes the reserved address. It can use the address as soon as
   the renamed server has left it.
4. A deleted instance releases its address.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends

if TYPE_CHECKING:
    from moto.ec2.models import EC2Backend
    from moto.ec2.models.elastic_network_interfaces import NetworkInterface
    from moto.ec2.models.subnets import Subnet
    from moto.rds.models import DBInstance


@dataclass(frozen=True)
class Endpoint:
    """The endpoint of one DB instance.

    Attributes
    ----------
    usable
        Set when no other server has the address.
    left
        Set when the server of this endpoint has left the address.
    """

    ec2: EC2Backend
    subnet: Subnet
    interface: NetworkInterface
    address: str
    usable: threading.Event
    left: threading.Event = field(default_factory=threading.Event)

    def set_security_groups(self, group_ids: list[str]) -> None:
        """Put the network interface into these security groups."""
        self.ec2.modify_network_interface_attribute(self.interface.id, group_ids)

    def remove_interface(self) -> None:
        """Remove the network interface; the address stays taken."""
        self.ec2.delete_network_interface(self.interface.id)

    def release(self) -> None:
        """Remove the network interface and give the address back to the subnet."""
        self.remove_interface()
        self.subnet.del_subnet_ip(self.address)


class Endpoints:
    """The endpoints of one local AWS."""

    def __init__(self) -> None:
        """Reserve nothing yet."""
        self._reserved: dict[str, Endpoint] = {}

    def reserve(self, identifier: str, endpoint: Endpoint) -> None:
        """Reserve the address of an endpoint for the next instance of this name."""
        self._reserved[identifier] = endpoint

    def take(self, instance: DBInstance) -> Endpoint:
        """Return a new endpoint for an instance, at the address that is reserved for its name."""
        ec2 = ec2_backends[instance.account_id][instance.region]
        subnet = ec2.get_subnet(_first_subnet_id(instance))
        reserved = self._reserved.pop(instance.db_instance_identifier, None)
        if reserved is not None and reserved.subnet is subnet:
            address, usable = reserved.address, reserved.left
        else:
            owner: Any = instance  # moto's type is that of EC2's instances; it keeps any object
            address, usable = subnet.get_available_subnet_ip(owner), _set_event()
        interface = _create_interface(ec2, subnet, address, instance.vpc_security_group_ids)
        return Endpoint(ec2, subnet, interface, address, usable)


def _first_subnet_id(instance: DBInstance) -> str:
    subnet_id: str = instance.db_subnet_group.subnets[0]["SubnetIdentifier"]
    return subnet_id


def _create_interface(
    ec2: EC2Backend, subnet: Subnet, address: str, group_ids: list[str]
) -> NetworkInterface:
    """Create a network interface as RDS has them: it is in use, and managed by RDS."""
    interface = ec2.create_network_interface(
        subnet, address, group_ids=group_ids, description="RDSNetworkInterface"
    )
    interface.requester_managed = True
    interface.requester_id = "amazon-rds"
    interface.status = "in-use"
    return interface


def _set_event() -> threading.Event:
    event = threading.Event()
    event.set()
    return event
