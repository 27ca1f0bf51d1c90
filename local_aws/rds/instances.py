"""The DB instances' lives: moto's entries on one side, PostgreSQL's containers on the other.

What takes time happens in threads; until it is done, moto's entry says ``creating``, ``stopping``
and so on, as RDS does.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends

from local_aws import certificates
from local_aws.machine import images, networks
from local_aws.rds import backups, parameters
from local_aws.rds.postgres import BIN, Postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from moto.rds.models import RDSBackend

    from local_aws.machine.podman import Podman
    from local_aws.settings import Settings


@dataclass
class Server:
    """The server of one DB instance."""

    postgres: Postgres
    interface: Any
    # The parameters that it runs with, by name; those of its group may wait for a reboot.
    in_force: dict[str, str]
    # Names of dynamic parameters whose change waits for the work that is under way.
    applying: list[set[str]] = field(default_factory=list)
    # Automated snapshots that are to be taken before it is available.
    backups_due: int = 0
    # One after the other, in the order in which they were asked for.
    jobs: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "rds"))


class Instances:
    """The servers of one local AWS, by moto's DB instance."""

    def __init__(self, settings: Settings, podman: Podman) -> None:
        """Start nothing yet."""
        self._settings = settings
        self._podman = podman
        # By resource id, which an instance keeps when it is renamed.
        self._servers: dict[str, Server] = {}
        # Subnets and addresses of names that were given up, kept for who has the name next: on RDS
        # the endpoint belongs to the identifier. The event says that its former server has left.
        self._addresses: dict[str, tuple[Any, str, threading.Event]] = {}

    @cached_property
    def catalogue(self) -> dict[str, parameters.Parameter]:
        """The parameters that PostgreSQL and RDS know, by name."""
        described = self._podman.run(
            "run",
            "--rm",
            "--network=none",
            f"--label={self._podman.label}",
            self._image,
            f"{BIN}/postgres",
            "--describe-config",
        ).stdout
        return parameters.catalogue(described)

    def warm_up(self) -> None:
        """Ask PostgreSQL for its parameters."""
        _ = self.catalogue

    def address(self, instance: Any) -> str | None:
        """Return the address of an instance, once it has one."""
        server = self._servers.get(instance.dbi_resource_id)
        return server.postgres.address if server and instance.status != "creating" else None

    def create(self, instance: Any, password: str, seed: Path | None) -> None:
        """Start the server of a new instance, with the data of a snapshot in `seed` if given."""
        interface, address, free = self._interface(instance)
        subnet = interface.subnet
        ec2 = ec2_backends[instance.account_id][instance.region]
        server = Server(
            Postgres(
                podman=self._podman,
                image=self._image,
                name=self._name(instance),
                folder=self._settings.rds_dir / instance.dbi_resource_id,
                network="",
                address=address,
                port=instance.port,
            ),
            interface,
            values := self.values(instance),
        )
        self._servers[instance.dbi_resource_id] = server

        def work() -> None:
            began = time.monotonic()
            server.postgres.network = networks.ensure(self._podman, ec2.get_vpc(subnet.vpc_id))
            free.wait()
            server.postgres.create(certificates.rds_authority(self._settings), values, seed)
            if seed is None:
                server.postgres.set_up(instance.master_username, password, instance.db_name)
            time.sleep(max(0.0, began + self._settings.rds_seconds - time.monotonic()))

        self._do(instance, "creating", work, "available")

    def rename(self, instance: Any, former: str) -> None:
        """Give the server of a renamed instance another address; the old one stays the name's."""
        server = self._servers[instance.dbi_resource_id]
        ec2 = ec2_backends[instance.account_id][instance.region]
        old_interface, old_address = server.interface, server.postgres.address
        server.interface, address, free = self._interface(instance)
        left = threading.Event()
        self._addresses[former] = old_interface.subnet, old_address, left

        def work() -> None:
            free.wait()
            try:
                server.postgres.move(
                    certificates.rds_authority(self._settings), self._name(instance), address
                )
            finally:
                left.set()
            ec2.delete_network_interface(old_interface.id)

        self._do(instance, "renaming", work, "available")

    def modify(self, instance: Any, *, restart: bool) -> None:
        """Report a change as under way for as long as it takes at least."""
        seconds = self._settings.rds_modify_seconds

        def work() -> None:
            if restart:
                self._restart(instance)
            time.sleep(seconds)

        self._do(instance, "modifying", work, "available")

    def stop(self, instance: Any) -> None:
        """Stop the server."""
        self._do(
            instance, "stopping", self._servers[instance.dbi_resource_id].postgres.stop, "stopped"
        )

    def start(self, instance: Any) -> None:
        """Start a stopped server; every parameter of its group counts afterwards."""
        self._do(instance, "starting", lambda: self._start(instance), "available")

    def reboot(self, instance: Any) -> None:
        """Stop and start the server; every parameter of its group counts afterwards."""
        self._do(instance, "rebooting", lambda: self._restart(instance), "available")

    def _restart(self, instance: Any) -> None:
        self._servers[instance.dbi_resource_id].postgres.stop()
        self._start(instance)

    def _start(self, instance: Any) -> None:
        server = self._servers[instance.dbi_resource_id]
        server.in_force = self.values(instance)
        server.postgres.configure(server.in_force)
        server.postgres.start()

    def set_password(self, instance: Any, password: str) -> None:
        """Give the master user another password."""
        self._servers[instance.dbi_resource_id].postgres.set_password(
            instance.master_username, password
        )

    def set_security_groups(self, instance: Any) -> None:
        """Put the network interface into the instance's security groups."""
        ec2 = ec2_backends[instance.account_id][instance.region]
        ec2.modify_network_interface_attribute(
            self._servers[instance.dbi_resource_id].interface.id, instance.vpc_security_group_ids
        )

    def reload(self, instance: Any, names: set[str]) -> None:
        """Let these dynamic parameters of the group count at once."""
        server = self._servers[instance.dbi_resource_id]
        values = self.values(instance)
        server.applying.append(names)

        def work() -> None:
            server.applying.remove(names)
            if instance.status in {"stopped", "failed", "deleting"}:
                return
            server.in_force |= {name: values[name] for name in names & values.keys()}
            server.postgres.configure(server.in_force)
            server.postgres.reload()

        server.jobs.submit(work)

    def apply_status(self, instance: Any) -> str:
        """Say whether the server runs with the parameters of its group."""
        server = self._servers.get(instance.dbi_resource_id)
        if server is None or server.in_force == self.values(instance):
            return "in-sync"
        return "applying" if server.applying else "pending-reboot"

    def delete(self, instance: Any, forget: Callable[[], None]) -> None:
        """Remove the server, its data and its address, then call `forget`."""
        server = self._servers[instance.dbi_resource_id]

        def work() -> None:
            server.postgres.remove()
            ec2 = ec2_backends[instance.account_id][instance.region]
            ec2.delete_network_interface(server.interface.id)
            server.interface.subnet.del_subnet_ip(server.postgres.address)
            del self._servers[instance.dbi_resource_id]
            server.jobs.shutdown(wait=False)
            forget()

        self._do(instance, "deleting", work, "deleting")

    def snapshot(self, instance: Any, snapshot: Any) -> None:
        """Copy the data of an instance into a snapshot."""
        server = self._servers[instance.dbi_resource_id]
        snapshot.status = "creating"
        snapshot.percent_progress = 0
        running = instance.status == "available"

        def work() -> None:
            target = self.snapshot_folder(snapshot)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                server.postgres.back_up(target, running=running)
            except BaseException:
                snapshot.status = "failed"
                raise
            snapshot.status = "available"
            snapshot.percent_progress = 100

        self._do(instance, "backing-up", work, instance.status)

    def back_up(self, backend: RDSBackend, instance: Any) -> None:
        """Take an automated snapshot, if the instance has such, after what is under way for it."""
        server = self._servers[instance.dbi_resource_id]

        def run() -> None:
            server.backups_due -= 1
            if instance.status not in {"available", "backing-up"}:
                return
            instance.status = "backing-up"
            try:
                backups.take(backend, instance, self.snapshot_folder, server.postgres)
            except Exception:  # noqa: BLE001 - a thread has nobody above; the instance is unharmed
                traceback.print_exc()
            if instance.status == "backing-up":
                instance.status = "available"

        if instance.backup_retention_period:
            server.backups_due += 1
            server.jobs.submit(run)

    def snapshot_folder(self, snapshot: Any) -> Path:
        """Return where the data of a snapshot lie."""
        # The name of an automated snapshot may be the same in another region.
        name = snapshot.db_snapshot_identifier.replace("rds:", f"rds_{snapshot.region}_")
        return self._settings.rds_dir.with_name("rds-snapshots") / name

    def forget_snapshot(self, snapshot: Any) -> None:
        """Remove the data of a snapshot."""
        folder = self.snapshot_folder(snapshot)
        if folder.exists():
            shutil.rmtree(folder)

    def values(self, instance: Any) -> dict[str, str]:
        """Return the parameters in force for an instance, by name."""
        settings: Mapping[str, Any] = instance.db_parameter_groups()[0].parameters
        return parameters.effective(self.catalogue, settings, instance.db_instance_class)

    @cached_property
    def _image(self) -> str:
        return images.database_image(self._settings, self._podman)

    def _name(self, instance: Any) -> str:
        # Two local AWS on one machine may both have a database of this name.
        mark = hashlib.sha256(
            f"{self._settings.data_dir}{instance.dbi_resource_id}".encode()
        ).hexdigest()[:8]
        return f"rds-{instance.db_instance_identifier}-{mark}"

    def _interface(self, instance: Any) -> tuple[Any, str, threading.Event]:
        """Make the network interface of an instance, at the address that belongs to its name.

        The address can be used when the event that is returned with it has happened.
        """
        subnet = instance.db_subnet_group._subnets[0]  # noqa: SLF001 - moto shows only a description
        unused = threading.Event()
        unused.set()
        kept, address, free = self._addresses.pop(
            instance.db_instance_identifier, (None, "", unused)
        )
        if kept is not subnet:
            free = unused
            address = subnet.get_available_subnet_ip(instance)
        interface = ec2_backends[instance.account_id][instance.region].create_network_interface(
            subnet,
            address,
            group_ids=instance.vpc_security_group_ids,
            description="RDSNetworkInterface",
        )
        interface.requester_managed = True
        interface.requester_id = "amazon-rds"
        interface.status = "in-use"
        return interface, address, free

    def _do(self, instance: Any, during: str, work: Callable[[], None], after: str) -> None:
        """Do `work` in a thread, after what is under way for this instance."""
        server = self._servers[instance.dbi_resource_id]
        instance.status = during

        def run() -> None:
            try:
                work()
            except Exception:  # noqa: BLE001 - a thread has nobody above; RDS says failed, too
                traceback.print_exc()
                instance.status = "failed"
            else:
                if instance.status == during:
                    is_backed_up = after == "available" and server.backups_due
                    instance.status = "backing-up" if is_backed_up else after

        server.jobs.submit(run)
