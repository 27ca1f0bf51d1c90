"""The DB instances' lives: moto's entries on one side, PostgreSQL's containers on the other.

What takes time happens in threads; until it is done, moto's entry says ``creating``, ``stopping``
and so on, as RDS does.
"""

from __future__ import annotations

import hashlib
import shutil
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends

from local_aws import certificates
from local_aws.machine import images, networks
from local_aws.rds import parameters
from local_aws.rds.postgres import BIN, Postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from local_aws.machine.podman import Podman
    from local_aws.settings import Settings


@dataclass
class Server:
    """What stands behind one DB instance."""

    postgres: Postgres
    interface: Any
    # One after the other, in the order in which they were asked for.
    jobs: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "rds"))


class Instances:
    """The servers of one local AWS, by moto's DB instance."""

    def __init__(self, settings: Settings, podman: Podman) -> None:
        """Start nothing yet."""
        self._settings = settings
        self._podman = podman
        self._servers: dict[str, Server] = {}

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
        """Return the address of an instance, once it has one to tell."""
        server = self._servers.get(instance.arn)
        return server.postgres.address if server and instance.status != "creating" else None

    def create(self, instance: Any, password: str, seed: Path | None) -> None:
        """Start the server of a new instance, with the data of a snapshot in `seed` if given."""
        subnet = instance.db_subnet_group._subnets[0]  # noqa: SLF001 - moto shows only a description
        ec2 = ec2_backends[instance.account_id][instance.region]
        address = subnet.get_available_subnet_ip(instance)
        interface = ec2.create_network_interface(
            subnet,
            address,
            group_ids=instance.vpc_security_group_ids,
            description="RDSNetworkInterface",
        )
        interface.requester_managed = True
        interface.requester_id = "amazon-rds"
        interface.status = "in-use"
        server = Server(
            Postgres(
                podman=self._podman,
                image=self._image,
                name=self._name(instance),
                folder=self._settings.rds_dir / instance.db_instance_identifier,
                network="",
                address=address,
                port=instance.port,
            ),
            interface,
        )
        self._servers[instance.arn] = server
        values = self.values(instance)

        def work() -> None:
            began = time.monotonic()
            server.postgres.network = networks.ensure(self._podman, ec2.get_vpc(subnet.vpc_id))
            server.postgres.create(certificates.rds_authority(self._settings), values, seed)
            if seed is None:
                server.postgres.set_up(instance.master_username, password, instance.db_name)
            time.sleep(max(0.0, began + self._settings.rds_seconds - time.monotonic()))

        self._do(instance, "creating", work, "available")

    def stop(self, instance: Any) -> None:
        """Stop the server."""
        self._do(instance, "stopping", self._servers[instance.arn].postgres.stop, "stopped")

    def start(self, instance: Any) -> None:
        """Start a stopped server."""
        server = self._servers[instance.arn]
        server.postgres.configure(self.values(instance))
        self._do(instance, "starting", server.postgres.start, "available")

    def reboot(self, instance: Any) -> None:
        """Stop and start the server; every parameter of its group counts afterwards."""
        server = self._servers[instance.arn]
        values = self.values(instance)

        def work() -> None:
            server.postgres.stop()
            server.postgres.configure(values)
            server.postgres.start()

        self._do(instance, "rebooting", work, "available")

    def set_password(self, instance: Any, password: str) -> None:
        """Give the master user another password."""
        self._servers[instance.arn].postgres.set_password(instance.master_username, password)

    def set_security_groups(self, instance: Any) -> None:
        """Put the network interface into the instance's security groups."""
        ec2 = ec2_backends[instance.account_id][instance.region]
        ec2.modify_network_interface_attribute(
            self._servers[instance.arn].interface.id, instance.vpc_security_group_ids
        )

    def reload(self, instance: Any) -> None:
        """Let the dynamic parameters of the group count at once."""
        server = self._servers.get(instance.arn)
        if server and instance.status == "available":
            server.postgres.configure(self.values(instance))
            server.postgres.reload()

    def delete(self, instance: Any, forget: Callable[[], None]) -> None:
        """Remove the server, its data and its address, then call `forget`."""
        server = self._servers[instance.arn]

        def work() -> None:
            server.postgres.remove()
            ec2 = ec2_backends[instance.account_id][instance.region]
            ec2.delete_network_interface(server.interface.id)
            server.interface.subnet.del_subnet_ip(server.postgres.address)
            del self._servers[instance.arn]
            server.jobs.shutdown(wait=False)
            forget()

        self._do(instance, "deleting", work, "deleting")

    def snapshot(self, instance: Any, snapshot: Any) -> None:
        """Copy the data of an instance into a snapshot."""
        server = self._servers[instance.arn]
        snapshot.status = "creating"
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

        self._do(instance, "backing-up", work, instance.status)

    def snapshot_folder(self, snapshot: Any) -> Path:
        """Return where the data of a snapshot lie."""
        name = snapshot.db_snapshot_identifier.replace(":", "_")
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
        mark = hashlib.sha256(f"{self._settings.data_dir}{instance.arn}".encode()).hexdigest()[:8]
        return f"rds-{instance.db_instance_identifier}-{mark}"

    def _do(self, instance: Any, during: str, work: Callable[[], None], after: str) -> None:
        """Do `work` in a thread, after what is under way for this instance."""
        server = self._servers[instance.arn]
        instance.status = during

        def run() -> None:
            try:
                work()
            except Exception:  # noqa: BLE001 - a thread has nobody above; RDS says failed, too
                traceback.print_exc()
                instance.status = "failed"
            else:
                if instance.status == during:
                    instance.status = after

        server.jobs.submit(run)
