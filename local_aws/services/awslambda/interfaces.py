"""Network interfaces of functions in a VPC, with the life that they have on AWS.

Lambda makes one interface for each combination of subnet and security groups; functions share it.
When no function uses it any more, Lambda removes it minutes later, and only while the execution
role exists and allows that. Until then its subnet and security groups cannot be deleted. moto makes
no interfaces.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moto.awslambda.models import lambda_backends
from moto.ec2.models import ec2_backends

from local_aws.authorization.service_roles import FUNCTIONS

if TYPE_CHECKING:
    from local_aws.authorization.service_roles import ServiceRoles

# How long Lambda waits before it looks again for a role that is missing.
RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Place:
    """Where functions share an interface."""

    account: str
    region: str
    subnet: str
    groups: frozenset[str]


class Interfaces:
    """The interfaces of all functions."""

    def __init__(self, roles: ServiceRoles, seconds: float) -> None:
        """Begin without any; `seconds` is how long one outlives the functions that used it."""
        self._roles = roles
        self._seconds = seconds
        self._lock = threading.Lock()
        self._ids: dict[Place, str] = {}

    def update(self, function: Any) -> None:
        """Make the interfaces that a function lacks; remove later what no function uses.

        Parameters
        ----------
        function
            moto's function, after it was made, changed or deleted.
        """
        account, region = function.account_id, function.region
        with self._lock:
            used = _used(account, region)
            for place in used - self._ids.keys():
                self._ids[place] = _create(place, function.function_name)
            unused = [
                place
                for place in self._ids
                if (place.account, place.region) == (account, region) and place not in used
            ]
        for place in unused:
            self._remove_later(place, function.role, self._seconds)

    def _remove_later(self, place: Place, role: str, seconds: float) -> None:
        timer = threading.Timer(seconds, self._remove, (place, role))
        timer.daemon = True
        timer.start()

    def _remove(self, place: Place, role: str) -> None:
        with self._lock:
            if place not in self._ids or place in _used(place.account, place.region):
                return
            if self._may_remove(role, place.region):
                backend = ec2_backends[place.account][place.region]
                interface = backend.enis.pop(self._ids.pop(place))
                interface.subnet.del_subnet_ip(interface.private_ip_address)
                return
        self._remove_later(place, role, RETRY_SECONDS)

    def _may_remove(self, role: str, region: str) -> bool:
        return self._roles.trusts(role, FUNCTIONS) and self._roles.allows(
            role, "ec2:DeleteNetworkInterface", region=region
        )


def _used(account: str, region: str) -> set[Place]:
    """Return the places of all functions."""
    configurations = [
        function.vpc_config or {} for function in lambda_backends[account][region].list_functions()
    ]
    return {
        Place(account, region, subnet, frozenset(configuration["SecurityGroupIds"]))
        for configuration in configurations
        for subnet in configuration.get("SubnetIds", [])
    }


def _create(place: Place, name: str) -> str:
    backend: Any = ec2_backends[place.account][place.region]
    interface = backend.create_network_interface(
        place.subnet,
        None,
        group_ids=sorted(place.groups),
        description=f"AWS Lambda VPC ENI-{name}-{uuid.uuid4()}",
    )
    interface.interface_type, interface.requester_managed = "lambda", True
    interface.status = "in-use"
    created: str = interface.id
    return created
