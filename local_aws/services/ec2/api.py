"""EC2 whose instances are hosts.

moto keeps the books of EC2; here its instances get a machine each, its networks a bridge, its
addresses and security groups their effect. ``apply`` puts this in place of moto's make-believe.
"""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.core.types import Base64EncodedString
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.instances import Instance
from moto.ec2.models.subnets import Subnet
from moto.ec2.responses.general import General

from local_aws.errors import LocalAwsError
from local_aws.machine import networks
from local_aws.machine.ports import Firewall
from local_aws.machine.rules import Rules
from local_aws.patching import replace
from local_aws.services.ec2 import addresses, groups
from local_aws.services.ec2.hosts import Host

if TYPE_CHECKING:
    from collections.abc import Callable

    from local_aws.machine.podman import Podman
    from local_aws.settings import Settings

# What changes who may reach what, once it has been done.
_CHANGES = (
    "create_network_interface",
    "associate_address",
    "disassociate_address",
    "release_address",
    "authorize_security_group_ingress",
    "revoke_security_group_ingress",
    "authorize_security_group_egress",
    "revoke_security_group_egress",
    "modify_security_group_rules",
    "modify_instance_security_groups",
    "modify_network_interface_attribute",
    "attach_network_interface",
    "detach_network_interface",
    "delete_network_interface",
    "modify_managed_prefix_list",
)
# AWS shows the last 64 KiB.
_CONSOLE_BYTES = 65536


def apply(settings: Settings, podman: Podman) -> None:
    """Give moto's EC2 real hosts, networks and addresses; once, before the first request."""
    # So that a bad value ends the start, and not the first launch.
    addresses.apply()
    _Ec2(settings, podman).apply()


class _Ec2:
    def __init__(self, settings: Settings, podman: Podman) -> None:
        self._settings = settings
        self._podman = podman
        self._firewall = Firewall(settings)
        self._hosts: dict[str, Host] = {}
        self._bridges: dict[str, str] = {}
        # moto may call back in the middle of a change.
        self._lock = threading.RLock()

    def apply(self) -> None:
        self._patch_run_instances()
        self._patch_states()
        self._patch_console()
        self._patch_delete_vpc()
        networks.observe(self._add_bridge)
        for name in _CHANGES:
            self._publish_after(EC2Backend, name)
        # Functions take addresses without an interface.
        for name in ("get_available_subnet_ip", "del_subnet_ip"):
            self._publish_after(Subnet, name)

    def _patch_run_instances(self) -> None:
        run_instances = EC2Backend.run_instances

        def with_hosts(backend: Any, *args: Any, **kwargs: Any) -> Any:
            reservation = run_instances(backend, *args, **kwargs)
            for instance in reservation.instances:
                _own_interfaces(instance, kwargs.get("nics") or [])
            try:
                for instance in reservation.instances:
                    networks.ensure(self._podman, backend.get_vpc(instance.vpc_id))
            except LocalAwsError as error:
                for instance in reservation.instances:
                    self._forget(instance)
                del backend.reservations[reservation.id]
                raise EC2ClientError("InvalidVpcRange", str(error)) from error
            for instance in reservation.instances:
                self._adopt(instance)
            return reservation

        replace(EC2Backend, "run_instances", with_hosts)

    def _adopt(self, instance: Any) -> None:
        host = Host(
            self._settings,
            self._podman,
            instance,
            self._publish,
            lambda: self._forget(instance),
        )
        self._hosts[instance.id] = host
        host.launch()

    def _patch_states(self) -> None:
        self._moto_start = replace(Instance, "start", _function(self._start))
        self._moto_stop = replace(Instance, "stop", _function(self._stop))
        self._moto_terminate = replace(Instance, "terminate", _function(self._terminate))
        replace(Instance, "reboot", _function(self._reboot))

    def _start(self, instance: Any) -> Any:
        previous = copy.copy(instance.instance_state)
        if previous.name in {"pending", "running"}:
            return previous
        if previous.name != "stopped":
            raise _incorrect_state(instance, "started")
        self._moto_start(instance)
        self._hosts[instance.id].start()
        return previous

    def _stop(self, instance: Any) -> Any:
        previous = copy.copy(instance.instance_state)
        if previous.name in {"stopping", "stopped"}:
            return previous
        if previous.name not in {"pending", "running"}:
            raise _incorrect_state(instance, "stopped")
        self._moto_stop(instance)
        self._hosts[instance.id].stop()
        self._publish()
        return previous

    def _reboot(self, instance: Any) -> None:
        if instance.state not in {"pending", "running"}:
            raise _incorrect_state(instance, "rebooted")
        self._hosts[instance.id].reboot()

    def _terminate(self, instance: Any) -> Any:
        previous = copy.copy(instance.instance_state)
        if previous.name in {"shutting-down", "terminated"}:
            return previous
        self._hosts[instance.id].terminate()
        self._publish()
        return previous

    def _forget(self, instance: Any) -> None:
        """Let moto give back what the instance held, its Elastic IP included."""
        backend = instance.ec2_backend
        for address in list(backend.addresses):
            if address.instance is instance:
                backend.disassociate_address(address=address.public_ip)
        self._moto_terminate(instance)

    def _patch_console(self) -> None:
        def get_console_output(response: Any) -> ActionResult:
            instance_id = response._get_param("InstanceId")  # noqa: SLF001 - moto's way to ask
            instance = response.ec2_backend.get_instance(instance_id)
            host = self._hosts.get(instance.id)
            text = (host.console() if host else "").encode()[-_CONSOLE_BYTES:]
            return ActionResult(
                {
                    "InstanceId": instance.id,
                    "Timestamp": utcnow(),
                    "Output": Base64EncodedString.from_raw_string(text.decode("utf-8", "replace")),
                }
            )

        replace(General, "get_console_output", get_console_output)

    def _patch_delete_vpc(self) -> None:
        delete_vpc = EC2Backend.delete_vpc

        def with_network(backend: Any, vpc_id: str) -> Any:
            vpc = delete_vpc(backend, vpc_id)
            networks.remove(self._podman, vpc_id)
            self._bridges.pop(vpc_id, None)
            self._publish()
            return vpc

        replace(EC2Backend, "delete_vpc", with_network)

    def _publish_after(self, owner: Any, name: str) -> None:
        change = getattr(owner, name)

        def with_publishing(changed: Any, *args: Any, **kwargs: Any) -> Any:
            result = change(changed, *args, **kwargs)
            self._publish()
            return result

        replace(owner, name, with_publishing)

    def _publish(self) -> None:
        """Make the firewall say what moto's state says now."""
        with self._lock:
            publications = frozenset(groups.publications())
            used = {publication.public for publication in publications}
            bridges = dict(self._bridges)
            self._firewall.apply(
                Rules(
                    publications,
                    frozenset(addresses.public_addresses()) - used,
                    frozenset(bridges.values()),
                    frozenset(groups.guards(bridges.keys())),
                )
            )

    def _add_bridge(self, vpc_id: str) -> None:
        self._bridges[vpc_id] = networks.bridge(self._podman, vpc_id)
        self._publish()


def _own_interfaces(instance: Any, requested: list[dict[str, Any]]) -> None:
    """Let an interface that was made for an instance go with it, unless the request differs."""
    brought = {nic.get("NetworkInterfaceId") for nic in requested}
    kept = {
        int(nic.get("DeviceIndex", 0))
        for nic in requested
        if str(nic.get("DeleteOnTermination")).lower() == "false"
    }
    for index, nic in instance.nics.items():
        nic.delete_on_termination = nic.id not in brought and index not in kept


def _incorrect_state(instance: Any, done: str) -> EC2ClientError:
    return EC2ClientError(
        "IncorrectInstanceState",
        f"The instance '{instance.id}' is not in a state from which it can be {done}.",
    )


def _function(method: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make a function of a bound method: as a class's attribute it is given the instance."""

    def call(instance: Any) -> Any:
        return method(instance)

    return call
