"""moto's RDS with real servers behind its DB instances.

Stock moto only keeps an entry. Beside the servers, what Ansible's modules and careful clients need:

- an unknown parameter group is an error (moto answers with an empty list);
- DescribeDBParameters lists every parameter of the engine (moto only those that were set, whereupon
  `rds_instance_param_group` sets none), and an unknown parameter is refused;
- a parameter counts at once if it is dynamic and set with ``ApplyMethod`` ``immediate``, otherwise
  after a reboot, until which its group is ``pending-reboot`` (moto: always ``in-sync``); so does
  another group (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_WorkingWithParamGroups.html);
- engine versions exist or do not (moto takes any), and DescribeDBEngineVersions lists them;
- an upgrade takes a while, leads to certain versions only, and may wait for the maintenance window
  (moto changes the version at once), see `local_aws.services.rds.versions`;
- a parameter group that an instance uses cannot be deleted (moto deletes it);
- snapshots hold the data (moto: nothing), and an instance restored from one has them, with the
  settings that RDS gives it (moto: most of the source's);
- a copy of a snapshot has its data, also in another region, see `local_aws.services.rds.copies`
  (moto: an entry);
- an instance with backups has an automated snapshot, see `local_aws.services.rds.backups`, and can
  be restored to a time since then (moto: a new instance without data, whatever the time);
- a Multi-AZ instance names the zone of its standby, which takes over at a failover (moto ignores
  ForceFailover);
- a renamed instance leaves its endpoint to whoever has the name next;
- every instance has a resource id of its own (moto: all the same);
- an instance is changed, renamed, stopped, rebooted or backed up while it is ``available``, and
  started while it is ``stopped``; in any other state the call is refused (moto: mostly allowed). A
  change takes a moment, in which the state is ``modifying``;
- a new instance has no endpoint before it is available;
- a subnet group exists after its modification (moto forgets it);
- gp3 storage reports its throughput and I/O rate (`rds_instance` stumbles without);
- the authorities of the databases' certificates are described.

Sources of the states: "Errors" of each operation, and "must be in the available or
storage-optimization state" of CreateDBSnapshot, in
https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/; "You can't modify a stopped DB instance"
in https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_StopInstance.html.
"""

from __future__ import annotations

import copy
import secrets
import string
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from cryptography import x509
from moto.core.responses import ActionResult, PaginatedResult
from moto.ec2.models import ec2_backends
from moto.rds.exceptions import (
    DBParameterGroupNotFoundError,
    DBSubnetGroupNotFoundError,
    RDSClientError,
)
from moto.rds.models import DBInstance, DBSnapshot, RDSBackend
from moto.rds.responses import RDSResponse

from local_aws.patching import replace
from local_aws.services.rds import backups, copies, limits, versions, zones
from local_aws.services.rds.instances import Instances, Upgrade
from local_aws.services.rds.postgres import Seed

if TYPE_CHECKING:
    from local_aws.machine.podman import Podman
    from local_aws.settings import Settings

AUTHORITIES = ("rds-ca-rsa2048-g1", "rds-ca-rsa4096-g1", "rds-ca-ecc384-g1")
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Storage.html
GP3_IOPS = 3000
GP3_THROUGHPUT = 125
GP3_STRIPED_GIB = 400
GP3_STRIPED_IOPS = 12000
GP3_STRIPED_THROUGHPUT = 500
# The data that the instance being created begins with.
_SEED: ContextVar[Seed | None] = ContextVar("seed", default=None)
# Parameters that choose the source and the time of a restore, not a setting of its result.
_OF_THE_TIME = frozenset(
    {
        "restore_time",
        "source_db_instance_automated_backups_arn",
        "source_db_instance_identifier",
        "source_dbi_resource_id",
        "target_db_instance_identifier",
        "use_latest_restorable_time",
    }
)
# What a restored instance has unless the request names it, whatever its source had.
_NOT_RESTORED: dict[str, Any] = {
    "_db_subnet_group_name": None,
    "copy_tags_to_snapshot": False,
    "deletion_protection": False,
    "multi_az": False,
}


def apply(settings: Settings, podman: Podman) -> Instances:
    """Put real servers behind moto's RDS."""
    instances = Instances(settings, podman)
    _patch_creation(instances)
    _patch_modification(instances)
    _patch_deletion(instances)
    _patch_states(instances)
    _patch_snapshots(instances)
    _patch_points_in_time(instances)
    replace(DBInstance, "address", property(instances.address))
    described: Any = DBInstance  # moto has no such attribute
    described.secondary_availability_zone = property(zones.standby_zone)
    described.pending_modified_values = property(instances.pending_values)
    replace(DBInstance, "endpoint", property(_endpoint))
    replace(DBInstance, "latest_restorable_time", property(instances.latest_restorable_time))
    replace(
        DBInstance, "db_parameter_group_status_list", property(partial(_group_statuses, instances))
    )
    _patch_parameter_groups(instances)
    _patch_deletion_of_groups()
    _patch_subnet_groups()
    _patch_descriptions(settings)
    return instances


def _patch_creation(instances: Instances) -> None:
    create = RDSBackend.create_db_instance

    def create_db_instance(self: RDSBackend, db_kwargs: dict[str, Any]) -> DBInstance:
        wanted = dict(db_kwargs)
        limits.check_engine(wanted)
        limits.check_master(wanted)
        versions.check_group(self, wanted.get("db_parameter_group_name"), wanted["engine_version"])
        wanted.setdefault("ca_certificate_identifier", AUTHORITIES[0])
        if not wanted.get("db_subnet_group_name"):
            raise RDSClientError(
                "InvalidParameterValue",
                "Local AWS has no default DB subnet group: name one in DBSubnetGroupName.",
            )
        instance = create(self, wanted)
        instance.dbi_resource_id = "db-" + "".join(
            secrets.choice(string.ascii_uppercase + string.digits) for _ in range(26)
        )
        _set_gp3_defaults(instance)
        try:
            instances.create(instance, wanted["master_user_password"], _SEED.get())
            instances.back_up(self, instance)
        except BaseException:
            # Otherwise an entry without a server would block the next attempt.
            self.databases.pop(instance.db_instance_identifier)
            raise
        return instance

    replace(RDSBackend, "create_db_instance", create_db_instance)


def _patch_subnet_groups() -> None:
    modify = RDSBackend.modify_db_subnet_group

    def modify_db_subnet_group(
        self: RDSBackend, subnet_name: str, *arguments: Any, **named: Any
    ) -> Any:
        if subnet_name not in self.subnet_groups:
            raise DBSubnetGroupNotFoundError(subnet_name)
        group = modify(self, subnet_name, *arguments, **named)
        self.subnet_groups[subnet_name] = group
        return group

    replace(RDSBackend, "modify_db_subnet_group", modify_db_subnet_group)


def _patch_modification(instances: Instances) -> None:
    modify = RDSBackend.modify_db_instance

    def modify_db_instance(
        self: RDSBackend, db_instance_identifier: str, db_kwargs: dict[str, Any]
    ) -> DBInstance:
        instance: Any = self.describe_db_instances(db_instance_identifier)[0]
        limits.check_modification(instance)
        immediate = bool(db_kwargs.get("apply_immediately"))
        password = db_kwargs.get("master_user_password")
        if password is not None:
            limits.check_password(password)
        upgrade = _upgrade(self, instance, db_kwargs)
        name = db_kwargs.get("new_db_instance_identifier")
        if name:
            limits.check_renaming(self, name, immediate=immediate)
        former, former_class = instance.db_instance_identifier, instance.db_instance_class
        former_days = instance.backup_retention_period
        modify(self, db_instance_identifier, db_kwargs)
        _set_gp3_defaults(instance)
        if password is not None:
            instances.set_password(instance, password)
        if "vpc_security_group_ids" in db_kwargs:
            instances.set_security_groups(instance)
        if name:
            instances.rename(instance, former)
        else:
            instances.modify(instance, restart=instance.db_instance_class != former_class)
        _change_backups(self, instances, instance, former_days)
        if immediate:
            upgrade = upgrade or instances.pending_upgrade(instance)
            if upgrade:
                instances.upgrade(self, instance, upgrade)
        elif upgrade:
            instances.await_window(instance, upgrade)
        return instance

    replace(RDSBackend, "modify_db_instance", modify_db_instance)


def _upgrade(backend: RDSBackend, instance: Any, wanted: dict[str, Any]) -> Upgrade | None:
    """Take the change of the version out of what is wanted, with the group that belongs to it."""
    allowed = wanted.pop("allow_major_version_upgrade", None)
    present = str(instance.engine_version)
    version = versions.full(wanted.pop("engine_version", None) or present)
    group = wanted.get("db_parameter_group_name")
    versions.check_group(backend, group, version)
    if version == present:
        return None
    request = {**wanted, "engine_version": version, "allow_major_version_upgrade": allowed}
    versions.check_upgrade(instance, request)
    if versions.major(version) == versions.major(present):
        return Upgrade(version, instance.db_parameter_group_name)
    if group and not group.startswith("default.") and group not in backend.db_parameter_groups:
        raise DBParameterGroupNotFoundError(group)
    # Until then the instance has that of its family.
    return Upgrade(version, wanted.pop("db_parameter_group_name", None))


def _patch_deletion(instances: Instances) -> None:
    delete = RDSBackend.delete_db_instance

    def delete_db_instance(
        self: RDSBackend,
        db_instance_identifier: str,
        *,
        final_db_snapshot_identifier: str | None = None,
        skip_final_snapshot: bool | None = False,
        **kwargs: Any,
    ) -> DBInstance:
        existing = self.databases.get(db_instance_identifier)
        limits.check_deletion(
            existing, skip=bool(skip_final_snapshot), snapshot=final_db_snapshot_identifier
        )
        instance = delete(
            self,
            db_instance_identifier,
            final_db_snapshot_identifier=final_db_snapshot_identifier,
            skip_final_snapshot=skip_final_snapshot,
            **{**kwargs, "delete_automated_backups": False},
        )
        # Listed until it is really gone, as on RDS.
        self.databases[instance.db_instance_identifier] = instance

        def forget() -> None:
            if kwargs.get("delete_automated_backups", True):
                backups.forget(self, instances.snapshots, instance)
            del self.databases[instance.db_instance_identifier]

        instances.delete(instance, forget)
        return instance

    replace(RDSBackend, "delete_db_instance", delete_db_instance)


def _patch_states(instances: Instances) -> None:
    def stop_db_instance(
        self: RDSBackend, db_instance_identifier: str, db_snapshot_identifier: str | None = None
    ) -> DBInstance:
        instance: Any = self.describe_db_instances(db_instance_identifier)[0]
        limits.check_state(instance, "available")
        if db_snapshot_identifier:
            self.create_db_snapshot(db_instance_identifier, db_snapshot_identifier)
        instances.stop(instance)
        return instance

    def start_db_instance(self: RDSBackend, db_instance_identifier: str) -> DBInstance:
        instance: Any = self.describe_db_instances(db_instance_identifier)[0]
        limits.check_state(instance, "stopped")
        instances.start(instance)
        return instance

    # moto's own ignores ForceFailover.
    def reboot_db_instance(self: RDSResponse) -> ActionResult:
        instance: Any = self.backend.describe_db_instances(self.params["DBInstanceIdentifier"])[0]
        limits.check_state(instance, "available")
        if self.params.get("ForceFailover"):
            zones.check_failover(instance)
            instances.fail_over(instance)
        else:
            instances.reboot(instance)
        return ActionResult({"DBInstance": instance})

    for function in (stop_db_instance, start_db_instance):
        replace(RDSBackend, function.__name__, function)
    replace(RDSResponse, "reboot_db_instance", reboot_db_instance)


def _patch_snapshots(instances: Instances) -> None:
    create = RDSBackend.create_db_snapshot
    delete = RDSBackend.delete_db_snapshot
    restore = RDSBackend.restore_db_instance_from_db_snapshot

    def create_db_snapshot(
        self: RDSBackend, db_instance_identifier: str, *args: Any, **kwargs: Any
    ) -> Any:
        instance: Any = self.describe_db_instances(db_instance_identifier)[0]
        limits.check_snapshot_creation(instance)
        snapshot = create(self, db_instance_identifier, *args, **kwargs)
        # Otherwise a tag of the snapshot would be one of the instance's, too.
        snapshot.tags = list(snapshot.tags)
        instances.snapshot(instance, snapshot)
        return snapshot

    def delete_db_snapshot(self: RDSBackend, db_snapshot_identifier: str) -> Any:
        found = self.database_snapshots.get(db_snapshot_identifier)
        if found is not None:
            limits.check_snapshot_deletion(found, is_copied=instances.snapshots.is_copied(found))
        snapshot = delete(self, db_snapshot_identifier)
        instances.snapshots.delete(snapshot)
        return snapshot

    def restore_db_instance_from_db_snapshot(
        self: RDSBackend, from_snapshot_id: str, overrides: dict[str, Any]
    ) -> DBInstance:
        name = from_snapshot_id.rpartition(":snapshot:")[2]
        snapshot: Any = self.describe_db_snapshots(None, name)[0]
        limits.check_restoration(snapshot)
        seed = _SEED.get() or Seed(instances.snapshots.folder(snapshot))
        # moto takes everything over from the instance whose snapshot it is.
        source = snapshot.database
        snapshot.database = copy.copy(source)
        for attribute, default in _NOT_RESTORED.items():
            setattr(snapshot.database, attribute, default)
        token = _SEED.set(seed)
        try:
            return restore(self, name, _with_default_group(self, overrides))
        finally:
            _SEED.reset(token)
            snapshot.database = source

    def copy_db_snapshot(self: RDSBackend, **wanted: Any) -> DBSnapshot:
        source = copies.check_source(self, wanted)
        made = copies.entry(self, source, wanted)
        instances.snapshots.copy(source, made)
        return made

    for function in (
        copy_db_snapshot,
        create_db_snapshot,
        delete_db_snapshot,
        restore_db_instance_from_db_snapshot,
    ):
        replace(RDSBackend, function.__name__, function)
    # moto takes one of each new instance, at once; see `local_aws.services.rds.backups`.
    replace(DBInstance, "save_automated_backup", lambda _instance: None)


def _patch_points_in_time(instances: Instances) -> None:
    def restore_db_instance_to_point_in_time(
        self: RDSBackend, source_db_identifier: str | None, target_db_identifier: str, wanted: Any
    ) -> DBInstance:
        source: Any = limits.source_of_restoration(self, source_db_identifier, wanted)
        until = limits.time_of_restoration(
            source,
            instances.earliest_restorable_time(source),
            instances.latest_restorable_time(source),
            wanted,
        )
        base: Any = instances.base(source)
        overrides = {name: value for name, value in wanted.items() if name not in _OF_THE_TIME}
        # The settings are those of the source as it is, not as it was at its snapshot.
        described, base.database = base.database, source
        token = _SEED.set(instances.seed(source, until))
        try:
            return self.restore_db_instance_from_db_snapshot(
                base.db_snapshot_identifier,
                {**overrides, "db_instance_identifier": target_db_identifier},
            )
        finally:
            _SEED.reset(token)
            base.database = described

    def describe_db_instance_automated_backups(
        self: RDSBackend,
        db_instance_identifier: str | None = None,
        dbi_resource_id: str | None = None,
        **_: Any,
    ) -> list[dict[str, Any]]:
        found = {
            snapshot.dbi_resource_id: backups.describe(
                self,
                snapshot,
                instances.earliest_restorable_time,
                instances.latest_restorable_time,
            )
            for snapshot in self.database_snapshots.values()
            if snapshot.snapshot_type == backups.AUTOMATED
            and db_instance_identifier in (None, snapshot.db_instance_identifier)
            and dbi_resource_id in (None, snapshot.dbi_resource_id)
        }
        if dbi_resource_id is not None and not found:
            raise RDSClientError(
                "DBInstanceAutomatedBackupNotFound",
                f"No automated backup for DbiResourceId {dbi_resource_id} was found.",
            )
        return list(found.values())

    for function in (restore_db_instance_to_point_in_time, describe_db_instance_automated_backups):
        replace(RDSBackend, function.__name__, function)


def _patch_parameter_groups(instances: Instances) -> None:
    describe_groups = RDSBackend.describe_db_parameter_groups
    modify_group = RDSBackend.modify_db_parameter_group

    def describe_db_parameter_groups(
        self: RDSBackend, db_parameter_group_kwargs: dict[str, Any]
    ) -> Any:
        found = describe_groups(self, db_parameter_group_kwargs)
        name = db_parameter_group_kwargs.get("db_parameter_group_name")
        if name and not found:
            raise DBParameterGroupNotFoundError(name)
        return found

    def modify_db_parameter_group(
        self: RDSBackend,
        db_parameter_group_name: str,
        db_parameter_group_parameters: list[dict[str, Any]],
    ) -> Any:
        (known,) = self.describe_db_parameter_groups(
            {"db_parameter_group_name": db_parameter_group_name}
        )
        for setting in db_parameter_group_parameters:
            limits.check_parameter(instances.catalogue(_major(known)), setting)
        group = modify_group(self, db_parameter_group_name, db_parameter_group_parameters)
        now = {
            setting["ParameterName"]
            for setting in db_parameter_group_parameters
            if setting.get("ApplyMethod") == "immediate"
        }
        if now:
            for instance in self.databases.values():
                if group in instance.db_parameter_groups():
                    instances.reload(instance, now)
        return group

    def describe_db_parameters(self: RDSResponse) -> ActionResult:
        name = self.params["DBParameterGroupName"]
        (group,) = self.backend.describe_db_parameter_groups({"db_parameter_group_name": name})
        source = self.params.get("Source")
        described = [
            parameter.describe(group.parameters.get(parameter.name))
            for _, parameter in sorted(instances.catalogue(_major(group)).items())
        ]
        return ActionResult(
            {"Parameters": [one for one in described if source in (None, one["Source"])]}
        )

    replace(RDSBackend, "describe_db_parameter_groups", describe_db_parameter_groups)
    replace(RDSBackend, "modify_db_parameter_group", modify_db_parameter_group)
    replace(RDSResponse, "describe_db_parameters", describe_db_parameters)


def _patch_deletion_of_groups() -> None:
    delete_group = RDSBackend.delete_db_parameter_group

    def delete_db_parameter_group(self: RDSBackend, db_parameter_group_name: str) -> Any:
        groups = self.db_parameter_groups
        if groups.get(db_parameter_group_name) in [
            group
            for instance in self.databases.values()
            for group in instance.db_parameter_groups()
        ]:
            raise RDSClientError(
                "InvalidDBParameterGroupState",
                "One or more database instances are still members of this parameter group "
                f"{db_parameter_group_name}, so the group cannot be deleted",
            )
        return delete_group(self, db_parameter_group_name)

    replace(RDSBackend, "delete_db_parameter_group", delete_db_parameter_group)


def _patch_descriptions(settings: Settings) -> None:
    def describe_db_engine_versions(self: RDSResponse) -> ActionResult:
        engine = self.params.get("Engine")
        version = self.params.get("EngineVersion")
        family = self.params.get("DBParameterGroupFamily")
        found = [
            {
                "Engine": "postgres",
                "EngineVersion": known,
                "MajorEngineVersion": str(versions.major(known)),
                "DBParameterGroupFamily": versions.family(known),
                "DBEngineDescription": "PostgreSQL",
                "DBEngineVersionDescription": f"PostgreSQL {known}",
                "Status": "available",
                "ValidUpgradeTarget": versions.targets(known),
                "SupportsReadReplica": True,
                "SupportsCertificateRotationWithoutRestart": True,
                "SupportedCACertificateIdentifiers": list(AUTHORITIES),
            }
            for known in versions.ENGINE_VERSIONS
            if engine in (None, "postgres")
            and version in (None, known, known.partition(".")[0])
            and family in (None, versions.family(known))
        ]
        if self.params.get("DefaultOnly"):
            wanted = (version or str(versions.DEFAULT_MAJOR)).partition(".")[0]
            default = versions.full(wanted) if wanted.isdecimal() else None
            found = [one for one in found if one["EngineVersion"] == default]
        return PaginatedResult({"DBEngineVersions": found})

    def describe_certificates(self: RDSResponse) -> ActionResult:
        wanted = self.params.get("CertificateIdentifier")
        if wanted is not None and wanted not in AUTHORITIES:
            raise RDSClientError("CertificateNotFound", f"Certificate {wanted} not found.")
        certificate = x509.load_pem_x509_certificate(settings.rds_ca_file.read_bytes())
        return ActionResult(
            {
                "DefaultCertificateForNewLaunches": AUTHORITIES[0],
                "Certificates": [
                    {
                        "CertificateIdentifier": name,
                        "CertificateType": "CA",
                        "ValidFrom": certificate.not_valid_before_utc,
                        "ValidTill": certificate.not_valid_after_utc,
                        "CertificateArn": f"arn:aws:rds:{self.region}::cert:{name}",
                        "CustomerOverride": False,
                    }
                    for name in AUTHORITIES
                    if wanted in (None, name)
                ],
            }
        )

    # moto has neither.
    RDSResponse.describe_db_engine_versions = describe_db_engine_versions  # type: ignore[attr-defined]  # added
    RDSResponse.describe_certificates = describe_certificates  # type: ignore[attr-defined]  # added


def _major(group: Any) -> int:
    """Return the major version of a parameter group's family."""
    return int(group.family.removeprefix("postgres"))


def _endpoint(instance: Any) -> dict[str, Any] | None:
    if instance.address is None:
        return None
    return {"Address": instance.address, "Port": instance.port, "HostedZoneId": "Z2R2ITUGPM61AM"}


def _group_statuses(instances: Instances, instance: Any) -> list[Any]:
    """Return the parameter groups of an instance, each with its status."""
    # Copies, as instances share a group and each has its own status.
    groups: list[Any] = [copy.copy(group) for group in instance.db_parameter_groups()]
    for group in groups:
        group.ParameterApplyStatus = instances.apply_status(instance)
    return groups


def _with_default_group(backend: RDSBackend, wanted: dict[str, Any]) -> dict[str, Any]:
    """Name the VPC's default security group where a request for an instance names none."""
    subnets = wanted.get("db_subnet_group_name")
    if not subnets or wanted.get("vpc_security_group_ids"):
        return wanted
    vpc = backend.describe_db_subnet_groups(subnets)[0].vpc_id
    ec2: Any = ec2_backends[backend.account_id][backend.region_name]
    return {**wanted, "vpc_security_group_ids": [ec2.get_default_security_group(vpc).id]}


def _change_backups(
    backend: RDSBackend, instances: Instances, instance: Any, former_days: int
) -> None:
    if not instance.backup_retention_period:
        if former_days:
            instances.stop_backups(instance)
        backups.forget(backend, instances.snapshots, instance)
    elif not former_days:
        instances.back_up(backend, instance)


def _set_gp3_defaults(instance: Any) -> None:
    if instance.storage_type != "gp3":
        return
    striped = instance.allocated_storage >= GP3_STRIPED_GIB
    instance.iops = instance.iops or (GP3_STRIPED_IOPS if striped else GP3_IOPS)
    instance.storage_throughput = instance.storage_throughput or (
        GP3_STRIPED_THROUGHPUT if striped else GP3_THROUGHPUT
    )
