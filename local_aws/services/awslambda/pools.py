"""Which instances a function has: warm ones are kept, more are started when several events meet."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import threading
import time
import uuid
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.awslambda.models import lambda_backends
from moto.ec2.models import ec2_backends
from moto.sts.models import sts_backends

from local_aws.errors import LocalAwsError
from local_aws.machine import images, networks
from local_aws.machine.podman import bind
from local_aws.services.awslambda import bootstrap, code
from local_aws.services.awslambda.instance import USER, Instance, Outcome
from local_aws.services.awslambda.logs import Log

if TYPE_CHECKING:
    from collections.abc import Callable

    from local_aws.authorization.service_roles import ServiceRoles
    from local_aws.machine.podman import Podman
    from local_aws.services.awslambda.states import States
    from local_aws.settings import Settings

INSTANCES = 10
WAIT_SECONDS = 60.0
# How long an event waits for a warm instance before another is started.
PATIENCE_SECONDS = 0.1
STARTS_AT_ONCE = 2
RUNTIME = "python3.13"
CREDENTIAL_SECONDS = 12 * 3600


class ThrottledError(Exception):
    """More events at once than the function may have instances."""


@dataclass
class Pool:
    """The instances of one version of a function in one configuration."""

    mark: str
    idle: list[Instance] = field(default_factory=list)
    busy: int = 0
    starting: int = 0
    retired: bool = False


class Functions:
    """Every function's instances."""

    def __init__(
        self, settings: Settings, podman: Podman, states: States, roles: ServiceRoles
    ) -> None:
        """Start nothing yet."""
        self._states = states
        self._roles = roles
        self._settings = settings
        self._podman = podman
        self._pools: dict[str, Pool] = {}
        self._changed = threading.Condition()

    def invoke(self, function: Any, event: bytes) -> Outcome:
        """Run the function once.

        Raises
        ------
        ThrottledError
            When no instance becomes free in time, or the reserved concurrency is used up.
        ConflictError, NotReadyError
            When the function is not active.
        """
        self._states.check_invocation(function)
        pool, instance = self._acquire(function)
        try:
            if instance is None:
                try:
                    instance = self._start(function)
                finally:
                    with self._changed:
                        pool.starting -= 1
                        self._changed.notify_all()
            return instance.invoke(
                event, str(uuid.uuid4()), function.function_arn, float(function.timeout)
            )
        finally:
            self._release(pool, instance)

    def prepare(self, function: Any) -> None:
        """Do what the first invocation need not wait for."""
        self._task(function)
        self._layers(function)
        self.warm_up()

    def warm_up(self) -> None:
        """Look at the image and lay out the runtime."""
        _ = self._image, self._runtime

    def retire(self, function_name: str, *, wait: bool) -> None:
        """End the instances of a function whose code or configuration is another now.

        Busy ones end with their event. With `wait`, idle ones are gone on return.
        """
        with self._changed:
            gone: list[Instance] = []
            for arn in [arn for arn in self._pools if arn.split(":")[6] == function_name]:
                pool = self._pools.pop(arn)
                pool.retired = True
                gone += pool.idle
                pool.idle.clear()
            self._changed.notify_all()
        if wait:
            self._remove(gone)
        else:
            self._remove_later(gone)

    def _acquire(self, function: Any) -> tuple[Pool, Instance | None]:
        """Return an idle instance, or None where one is to be started."""
        mark = _mark(function)
        reserved = function.reserved_concurrency
        limit = INSTANCES if reserved is None else min(INSTANCES, int(reserved))
        began = time.monotonic()
        deadline = began + (WAIT_SECONDS if reserved is None else 0.0)
        outdated: list[Instance] = []
        try:
            with self._changed:
                while True:
                    pool = self._pools.get(function.function_arn)
                    if pool is None or pool.mark != mark:
                        if pool is not None:
                            pool.retired = True
                            outdated += pool.idle
                        pool = self._pools[function.function_arn] = Pool(mark)
                    if pool.idle:
                        pool.busy += 1
                        return pool, pool.idle.pop()
                    if pool.busy < limit and self._should_start(pool, began):
                        pool.busy += 1
                        pool.starting += 1
                        return pool, None
                    if pool.busy >= limit and time.monotonic() >= deadline:
                        raise ThrottledError
                    self._changed.wait(PATIENCE_SECONDS)
        finally:
            self._remove_later(outdated)

    def _should_start(self, pool: Pool, began: float) -> bool:
        """Start no more than pays: a warm instance is often free before a new one is ready."""
        if pool.busy == 0:
            return True
        waited = time.monotonic() - began >= PATIENCE_SECONDS
        return waited and pool.starting < STARTS_AT_ONCE

    def _release(self, pool: Pool, instance: Instance | None) -> None:
        with self._changed:
            pool.busy -= 1
            keep = instance is not None and instance.alive and not pool.retired
            if keep and instance is not None:
                pool.idle.append(instance)
            # Events of every function wait on the same condition.
            self._changed.notify_all()
        if instance is not None and not keep:
            self._remove_later([instance])

    def _start(self, function: Any) -> Instance:
        key = uuid.uuid4().hex
        network, release = self._place(function)
        instance = Instance(
            podman=self._podman,
            name=f"lambda-{function.function_name}-{key[:8]}",
            folder=self._settings.lambda_dir / "instances" / key,
            release=release,
            memory_mb=function.memory_size,
            log=Log(
                function.logs_backend,
                function.logs_group_name,
                f"{time.strftime('%Y/%m/%d')}/[{_version(function)}]{key}",
                lambda action, name: self._roles.allows(
                    function.role,
                    action,
                    f"arn:aws:logs:{function.region}:{function.account_id}:log-group:{name}",
                    region=function.region,
                ),
            ),
        )
        arguments = [
            f"--label={self._podman.label}",
            *network,
            "--read-only",
            f"--tmpfs=/tmp:rw,exec,mode=1777,size={function.ephemeral_storage}m",
            f"--user={USER}",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            "--pids-limit=1024",
            *self._memory_limit(function.memory_size),
            bind(self._task(function), "/var/task", read_only=True),
            bind(self._layers(function), "/opt", read_only=True),
            bind(self._runtime, "/var/runtime", read_only=True),
            bind(instance.folder, "/var/rapid", read_only=True),
            self._image,
            # Without site: the function does not see Debian's packages.
            "/usr/bin/python3",
            "-S",
            "/var/runtime/bootstrap.py",
        ]
        try:
            instance.start(arguments, self._environment(function, instance.log))
        except BaseException:
            instance.close()
            self._remove_later([instance])
            raise
        return instance

    def _place(self, function: Any) -> tuple[list[str], Callable[[], None]]:
        """Return podman's arguments for the network, and what gives the address back."""
        config = function.vpc_config
        if not config or not config["SubnetIds"]:
            return ["--network=host"], lambda: None
        ec2 = ec2_backends[function.account_id][function.region]
        subnet = ec2.get_subnet(config["SubnetIds"][0])
        network = networks.ensure(self._podman, ec2.get_vpc(subnet.vpc_id))
        address = subnet.get_available_subnet_ip(function)
        return networks.place(network, address), partial(subnet.del_subnet_ip, address)

    def _environment(self, function: Any, log: Log) -> dict[str, str]:
        role = sts_backends[function.account_id][function.partition].assume_role(
            region_name=function.region,
            role_session_name=function.function_name,
            role_arn=function.role,
            policy="",
            duration=CREDENTIAL_SECONDS,
            external_id="",
        )
        return {
            "AWS_ACCESS_KEY_ID": role.access_key_id,
            "AWS_SECRET_ACCESS_KEY": role.secret_access_key,
            "AWS_SESSION_TOKEN": role.session_token,
            "AWS_DEFAULT_REGION": function.region,
            "AWS_REGION": function.region,
            "AWS_ENDPOINT_URL": self._settings.endpoint,
            "AWS_CA_BUNDLE": "/var/runtime/ca.pem",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.run_time}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
            "AWS_LAMBDA_FUNCTION_VERSION": _version(function),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": log.group,
            "AWS_LAMBDA_LOG_STREAM_NAME": log.stream,
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "LAMBDA_TASK_ROOT": "/var/task",
            "LANG": "C.UTF-8",
            "LD_LIBRARY_PATH": "/var/task:/var/task/lib:/opt/lib",
            "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
            "TZ": ":UTC",
            **{name: str(value) for name, value in function.environment_vars.items()},
            "_HANDLER": function.handler,
        }

    def _task(self, function: Any) -> Path:
        return code.unpack(self._settings.lambda_dir / "code", [function.code_bytes])

    def _layers(self, function: Any) -> Path:
        backend = lambda_backends[function.account_id][function.region]
        versions = [backend.layers_versions_by_arn(layer["Arn"]) for layer in function.layers]
        archives = [version.code_bytes for version in versions if version is not None]
        return code.unpack(self._settings.lambda_dir / "layers", archives)

    @cached_property
    def _runtime(self) -> Path:
        """The folder that every instance sees as /var/runtime."""
        folder = self._settings.lambda_dir / "runtime"
        folder.mkdir(parents=True, exist_ok=True)
        for source in (Path(bootstrap.__file__), self._settings.ca_file):
            target = folder / source.name
            target.write_bytes(source.read_bytes())
            target.chmod(0o644)
        return folder

    @cached_property
    def _image(self) -> str:
        image = images.host_image(self._settings, self._podman)
        printed = self._podman.run(
            "run",
            "--rm",
            "--network=none",
            f"--label={self._podman.label}",
            image,
            "/usr/bin/python3",
            "-S",
            "-c",
            "import sys; print('python%d.%d' % sys.version_info[:2])",
        ).stdout.strip()
        if printed != RUNTIME:
            raise LocalAwsError(f"The image {image} has {printed}; functions need {RUNTIME}.")
        return image

    def _memory_limit(self, megabytes: int) -> list[str]:
        return [f"--memory={megabytes}m", f"--memory-swap={megabytes}m"] if _can_limit() else []

    def _remove_later(self, instances: list[Instance]) -> None:
        if instances:
            threading.Thread(target=self._remove, args=(instances,), daemon=True).start()

    def _remove(self, instances: list[Instance]) -> None:
        """Remove containers and what they had; they are killed, not asked."""
        if not instances:
            return
        names = [instance.name for instance in instances]
        remove = ("rm", "--force", "--time=0", "--ignore", *names)
        # podman stumbles over a container that ends by itself meanwhile, once.
        if self._podman.run(*remove, check=False).returncode:
            self._podman.run(*remove)
        for instance in instances:
            instance.close()
            instance.forget()

    def close(self) -> None:
        """End every instance."""
        with self._changed:
            pools, self._pools = list(self._pools.values()), {}
            for pool in pools:
                pool.retired = True
        self._remove([instance for pool in pools for instance in pool.idle])


def check_runtime(runtime: str | None, architectures: list[str]) -> str | None:
    """Say what is wrong with a function that cannot run here, if anything is."""
    if runtime != RUNTIME:
        return f"Local AWS runs functions of the runtime {RUNTIME} only, not {runtime}."
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    if architectures[0] != machine:
        return f"This machine is {machine}: functions for {architectures[0]} cannot run on it."
    return None


def _version(function: Any) -> str:
    return str(function.version)


def _mark(function: Any) -> str:
    """Return a hash of everything that an instance is started with."""
    facts = [
        function.code_sha_256,
        [layer["Arn"] for layer in function.layers],
        function.handler,
        function.run_time,
        function.environment_vars,
        function.memory_size,
        function.ephemeral_storage,
        function.role,
        function.vpc_config,
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _can_limit() -> bool:
    """Say whether this machine lets us limit memory by a control group."""
    controllers = Path("/sys/fs/cgroup/cgroup.controllers")
    if controllers.is_file():
        return "memory" in controllers.read_text().split()
    return os.access("/sys/fs/cgroup/memory", os.W_OK)
