"""The life of a DB instance: moto keeps its entry, a PostgreSQL in a container keeps its data.

1. `create` takes an endpoint and starts PostgreSQL, with the data of a snapshot if the instance is
   restored: ``creating``, then ``available``.
2. `back_up` takes an automated snapshot if the instance has backups: ``backing-up``. A new instance
   is ``available`` only after its first one. From then on it can be restored to a point in time
   (module `restorable`).
3. `modify`, `set_password` and `set_security_groups` change it: ``modifying``. `reload` makes
   dynamic parameters effective, which the status does not show. `upgrade` changes the version:
   ``upgrading``, with a snapshot before and after it.
4. `rename` moves PostgreSQL to another endpoint: ``renaming``.
5. `snapshot` copies the data: ``backing-up``.
6. `stop`, `start` and `reboot` make all parameters of its group effective: ``stopping`` and
   ``stopped``, ``starting`` or ``rebooting``, then ``available``.
7. `fail_over` kills PostgreSQL and lets the standby take over (module `zones`): ``rebooting``.
8. `delete` removes PostgreSQL, the data and the endpoint, then the entry: ``deleting``.

The module `api` has checked each request before. Here a request returns at once, and the work is a
job in the instance's queue. Only the queue sets the status (module `lifecycle`), and only jobs
change the server.
"""

from __future__ import annotations

import hashlib
import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from local_aws import certificates
from local_aws.errors import LocalAwsError
from local_aws.machine import images, networks
from local_aws.machine.postgresql import programs
from local_aws.services.rds import backups, parameters, snapshots, upgrades, versions, zones
from local_aws.services.rds.endpoints import Endpoint, Endpoints
from local_aws.services.rds.lifecycle import Lifecycle
from local_aws.services.rds.postgres import Postgres, Seed
from local_aws.services.rds.restorable import Restorable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from datetime import datetime

    from moto.rds.models import DBInstance, DBSnapshot, RDSBackend

    from local_aws.machine.podman import Podman
    from local_aws.settings import Settings


# States in which the server answers and no request waits for it to do something else.
_SERVING = frozenset({"available", "backing-up", "modifying"})

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Upgrade:
    """A change of the version that was asked for.

    Attributes
    ----------
    version
        The full version to come.
    group
        Its parameter group; None for the present one, or the default of another major version.
    """

    version: str
    group: str | None


@dataclass
class Server:
    """What belongs to one DB instance beside moto's entry.

    Attributes
    ----------
    lifecycle
        Its status, and the queue of its jobs.
    postgres
        Its server; only jobs change it.
    in_force
        The parameters that the server runs with, by name; only jobs change them. Those of the
        parameter group may differ until a reboot.
    endpoint
        Its endpoint; only requests change it.
    last_reload
        The last job that makes dynamic parameters effective; only requests change it.
    restorable
        To which times it can be restored; only jobs change it.
    pending
        The upgrade that runs, or waits for the maintenance window.
    """

    lifecycle: Lifecycle
    postgres: Postgres
    in_force: dict[str, str]
    endpoint: Endpoint
    last_reload: Future[None] | None = None
    pending: Upgrade | None = None
    restorable: Restorable = field(init=False)

    def __post_init__(self) -> None:
        """Begin without a window."""
        self.restorable = Restorable(self.postgres)

    def archive(self, *, on: bool) -> None:
        """Keep the write-ahead log from now on, or not."""
        if self.postgres.is_archiving != on:
            self.postgres.is_archiving = on
            self.reload({})

    def restart(self, values: dict[str, str]) -> None:
        """Stop and start PostgreSQL with these parameters."""
        self.postgres.stop()
        self.start(values)

    def start(self, values: dict[str, str]) -> None:
        """Start a stopped PostgreSQL with these parameters."""
        self.in_force = values
        self.postgres.configure(values)
        self.postgres.start()

    def reload(self, values: dict[str, str]) -> None:
        """Make these dynamic parameters effective, beside those in force."""
        self.in_force = self.in_force | values
        self.postgres.configure(self.in_force)
        self.postgres.reload()


class _Refused(Exception):  # noqa: N818 - no fault of local AWS, but what RDS does
    """An upgrade that RDS gives up."""


class Instances:
    """The DB instances of one local AWS."""

    def __init__(self, settings: Settings, podman: Podman) -> None:
        """Start nothing yet."""
        self.snapshots = snapshots.Snapshots(settings)
        self._settings = settings
        self._podman = podman
        self._endpoints = Endpoints()
        # By resource id, which an instance keeps when it is renamed.
        self._servers: dict[str, Server] = {}
        self._catalogues: dict[int, dict[str, parameters.Parameter]] = {}

    # What is described.

    def catalogue(self, major: int) -> dict[str, parameters.Parameter]:
        """Return the parameters that a major version and RDS know, by name."""
        if major not in self._catalogues:
            described = self._podman.run(
                "run",
                "--rm",
                "--network=none",
                f"--label={self._podman.label}",
                self._image,
                f"{programs(major)}/postgres",
                "--describe-config",
            ).stdout
            self._catalogues[major] = parameters.catalogue(described)
        return self._catalogues[major]

    def warm_up(self) -> None:
        """Read the parameters of PostgreSQL before the first request needs them."""
        self.catalogue(versions.DEFAULT_MAJOR)

    def address(self, instance: DBInstance) -> str | None:
        """Return the address of an instance; None before it is created."""
        server = self._servers.get(instance.dbi_resource_id)
        return server.postgres.address if server and instance.status != "creating" else None

    def apply_status(self, instance: DBInstance) -> str:
        """Return whether the server runs with the parameters of its group, in RDS's words."""
        server = self._servers.get(instance.dbi_resource_id)
        if server is None or server.in_force == self._values(instance):
            return "in-sync"
        is_reloading = server.last_reload is not None and not server.last_reload.done()
        return "applying" if is_reloading else "pending-reboot"

    def pending_values(self, instance: DBInstance) -> dict[str, str]:
        """Return the changes of an instance that are not in force yet."""
        server = self._servers.get(instance.dbi_resource_id)
        upgrade = server.pending if server else None
        return {"EngineVersion": upgrade.version} if upgrade else {}

    def latest_restorable_time(self, instance: DBInstance) -> datetime | None:
        """Return the end of an instance's window; None without one. It moves on if it is old."""
        server = self._servers.get(instance.dbi_resource_id)
        if server is None:
            return None
        if instance.status in _SERVING and server.restorable.claim(self._settings.rds_log_seconds):
            self._advance(instance, server)
        return server.restorable.latest

    def earliest_restorable_time(self, instance: DBInstance) -> datetime | None:
        """Return the beginning of an instance's window; None without one."""
        server = self._servers.get(instance.dbi_resource_id)
        return server.restorable.earliest if server else None

    def _advance(self, instance: DBInstance, server: Server) -> None:
        def work() -> None:
            try:
                if instance.status in _SERVING:
                    server.restorable.advance()
            finally:
                server.restorable.release()

        server.lifecycle.submit(work)

    def base(self, instance: DBInstance) -> DBSnapshot | None:
        """Return the snapshot with which a restore of an instance to a point in time begins."""
        return self._server(instance).restorable.base

    def seed(self, instance: DBInstance, until: datetime) -> Seed:
        """Return the data of an instance at a time of its window.

        Raises
        ------
        ValueError
            When the instance has no backups.
        """
        base = self.base(instance)
        if base is None:
            raise ValueError(f"DB instance {instance.db_instance_identifier} has no backups")
        archive = self._server(instance).postgres.archive
        return Seed(self.snapshots.folder(base), archive, until)

    # 1. Creation.

    def create(self, instance: DBInstance, password: str, seed: Seed | None) -> None:
        """Start the server of a new instance, with the data of `seed` if given."""
        endpoint = self._endpoints.take(instance)
        postgres = self._new_postgres(instance, endpoint)
        postgres.is_archiving = bool(instance.backup_retention_period)
        values = self._values(instance)
        server = Server(Lifecycle(instance), postgres, values, endpoint)
        self._servers[instance.dbi_resource_id] = server

        def work() -> None:
            with _taking_at_least(self._settings.rds_seconds):
                networks.ensure(self._podman, endpoint.ec2.get_vpc(endpoint.subnet.vpc_id))
                endpoint.usable.wait()
                postgres.create(certificates.rds_authority(self._settings), values, seed)
                if seed is None:
                    postgres.set_up(_master(instance), password, instance.db_name)

        server.lifecycle.begin("creating", work, "available")

    # 2. Automated snapshots.

    def back_up(self, backend: RDSBackend, instance: DBInstance) -> None:
        """Take an automated snapshot, if the instance has backups."""
        if not instance.backup_retention_period:
            return
        server = self._server(instance)

        def work() -> None:
            server.archive(on=True)
            base = backups.take(backend, instance, self.snapshots, server.postgres)
            server.restorable.begin(base)

        server.lifecycle.follow("backing-up", work)

    def stop_backups(self, instance: DBInstance) -> None:
        """Take no more backups: the window closes, and the write-ahead log is not kept."""
        server = self._server(instance)

        def work() -> None:
            server.archive(on=False)
            server.restorable.close()

        server.lifecycle.begin("modifying", work, "available")

    # 3. Changes.

    def modify(self, instance: DBInstance, *, restart: bool) -> None:
        """Show a change for as long as it takes at least; restart the server if it needs that."""
        server = self._server(instance)

        def work() -> None:
            if restart:
                server.restart(self._values(instance))
            time.sleep(self._settings.rds_modify_seconds)

        server.lifecycle.begin("modifying", work, "available")

    def set_password(self, instance: DBInstance, password: str) -> None:
        """Give the master user another password."""
        server = self._server(instance)

        def work() -> None:
            server.postgres.set_password(_master(instance), password)

        server.lifecycle.begin("modifying", work, "available")

    def set_security_groups(self, instance: DBInstance) -> None:
        """Put the endpoint into the security groups of the instance; it takes effect at once."""
        self._server(instance).endpoint.set_security_groups(instance.vpc_security_group_ids)

    def reload(self, instance: DBInstance, names: set[str]) -> None:
        """Make these dynamic parameters of the group effective, if the server runs."""
        server = self._server(instance)
        values = self._values(instance)
        changed = {name: values[name] for name in names & values.keys()}

        def work() -> None:
            if instance.status not in {"stopped", "failed", "deleting"}:
                server.reload(changed)

        server.last_reload = server.lifecycle.submit(work)

    def await_window(self, instance: DBInstance, upgrade: Upgrade) -> None:
        """Keep an upgrade for the maintenance window, which never comes here."""
        self._server(instance).pending = upgrade

    def pending_upgrade(self, instance: DBInstance) -> Upgrade | None:
        """Return the upgrade that waits for the maintenance window."""
        return self._server(instance).pending

    def upgrade(self, backend: RDSBackend, instance: DBInstance, upgrade: Upgrade) -> None:
        """Change the version, with a snapshot before and after it if the instance has backups.

        An instance that cannot be upgraded stays as it is.
        """
        server = self._server(instance)
        server.pending = upgrade
        has_major = versions.major(upgrade.version) != versions.major(str(instance.engine_version))
        has_backups = bool(instance.backup_retention_period)

        def work() -> None:
            try:
                if has_backups:
                    target = upgrade.version
                    backups.take(backend, instance, self.snapshots, server.postgres, target)
                if has_major:
                    self._change_major(instance, server, upgrade)
                else:
                    server.restart(self._values(instance))
                instance.engine_version = upgrade.version
                if has_backups:
                    server.lifecycle.follow("backing-up", back_up)
            finally:
                server.pending = None

        def back_up() -> None:
            base = backups.take(backend, instance, self.snapshots, server.postgres)
            if has_major:
                server.restorable.begin(base)

        def work_unless_refused() -> None:
            try:
                work()
            except _Refused as refused:
                name = instance.db_instance_identifier
                _log.warning("DB instance %s was not upgraded: %s", name, refused)

        server.lifecycle.begin("upgrading", work_unless_refused, "available")

    def _change_major(self, instance: DBInstance, server: Server, upgrade: Upgrade) -> None:
        obstacles = upgrades.obstacles(server.postgres)
        if obstacles:
            raise _Refused("; ".join(obstacles))
        major = versions.major(upgrade.version)
        server.postgres.stop()
        # A group of the new family is in force after a reboot only.
        values = parameters.effective(self.catalogue(major), {}, instance.db_instance_class)
        server.postgres.configure(values)
        try:
            server.postgres.upgrade(certificates.rds_authority(self._settings), major)
        except LocalAwsError as error:
            server.start(server.in_force)
            raise _Refused(str(error)) from error
        server.in_force = values
        instance.db_parameter_group_name = upgrade.group
        # Its log cannot be applied to the data of the other version.
        server.restorable.close()

    # 4. Another name.

    def rename(self, instance: DBInstance, former: str) -> None:
        """Move the server of a renamed instance to another endpoint.

        The former endpoint is reserved for the former name.
        """
        server = self._server(instance)
        left = server.endpoint
        entered = server.endpoint = self._endpoints.take(instance)
        self._endpoints.reserve(former, left)
        authority = certificates.rds_authority(self._settings)

        def work() -> None:
            entered.usable.wait()
            try:
                server.postgres.move(authority, self._container(instance), entered.address)
            finally:
                left.left.set()
            left.remove_interface()

        server.lifecycle.begin("renaming", work, "available")

    # 5. Snapshots on request.

    def snapshot(self, instance: DBInstance, snapshot: DBSnapshot) -> None:
        """Copy the data of an available instance into a snapshot."""
        server = self._server(instance)
        snapshots.begin(snapshot)

        def work() -> None:
            self.snapshots.fill(snapshot, server.postgres, running=True)

        server.lifecycle.begin("backing-up", work, "available")

    # 6. Restarts.

    def stop(self, instance: DBInstance) -> None:
        """Stop the server."""
        server = self._server(instance)
        server.lifecycle.begin("stopping", server.postgres.stop, "stopped")

    def start(self, instance: DBInstance) -> None:
        """Start a stopped server."""
        server = self._server(instance)
        server.lifecycle.begin(
            "starting", lambda: server.start(self._values(instance)), "available"
        )

    def reboot(self, instance: DBInstance) -> None:
        """Stop the server and start it."""
        server = self._server(instance)
        server.lifecycle.begin(
            "rebooting", lambda: server.restart(self._values(instance)), "available"
        )

    # 7. Failover.

    def fail_over(self, instance: DBInstance) -> None:
        """Kill the server, and start it in the zone of the standby, at the same endpoint."""
        server = self._server(instance)
        zones.change_zone(instance)

        def work() -> None:
            server.in_force = self._values(instance)
            server.postgres.configure(server.in_force)
            authority = certificates.rds_authority(self._settings)
            server.postgres.take_over(authority, self._settings.rds_failover_seconds)

        server.lifecycle.begin("rebooting", work, "available")

    # 8. The end.

    def delete(self, instance: DBInstance, forget: Callable[[], None]) -> None:
        """Remove the server, its data and its endpoint, then call `forget`."""
        server = self._server(instance)

        def work() -> None:
            server.postgres.remove()
            server.endpoint.release()
            del self._servers[instance.dbi_resource_id]
            server.lifecycle.close()
            forget()

        server.lifecycle.begin("deleting", work, "deleting")

    # Shared by the steps.

    def _server(self, instance: DBInstance) -> Server:
        return self._servers[instance.dbi_resource_id]

    def _new_postgres(self, instance: DBInstance, endpoint: Endpoint) -> Postgres:
        if instance.port is None:
            raise ValueError(f"DB instance {instance.db_instance_identifier} has no port")
        return Postgres(
            podman=self._podman,
            image=self._image,
            name=self._container(instance),
            folder=self._settings.rds_dir / instance.dbi_resource_id,
            network=endpoint.subnet.vpc_id,
            address=endpoint.address,
            port=instance.port,
            major=versions.major(str(instance.engine_version)),
        )

    def _values(self, instance: DBInstance) -> dict[str, str]:
        """Return the parameters of the instance's group, with RDS's formulas evaluated."""
        group = instance.db_parameter_groups()[0]
        known = self.catalogue(versions.major(str(instance.engine_version)))
        return parameters.effective(known, group.parameters, instance.db_instance_class)

    @cached_property
    def _image(self) -> str:
        return images.database_image(self._settings, self._podman)

    def _container(self, instance: DBInstance) -> str:
        """Return the name of an instance's container.

        Its suffix differs between two local AWS on one machine.
        """
        unique = f"{self._settings.data_dir}{instance.dbi_resource_id}"
        suffix = hashlib.sha256(unique.encode()).hexdigest()[:8]
        return f"rds-{instance.db_instance_identifier}-{suffix}"


def _master(instance: DBInstance) -> str:
    """Return the master user, which RDS requires of every instance without a cluster."""
    if instance.master_username is None:
        raise ValueError(f"DB instance {instance.db_instance_identifier} has no master user")
    return instance.master_username


@contextmanager
def _taking_at_least(seconds: float) -> Iterator[None]:
    """Wait at the end until so many seconds have passed since the beginning."""
    end = time.monotonic() + seconds
    yield
    time.sleep(max(0.0, end - time.monotonic()))
