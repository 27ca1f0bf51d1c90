"""Instances as real hosts: containers with systemd that boot, stop, start, reboot and go.

The API answers at once with the state of transition, as AWS does; what takes time is done by one
thread per host, in the order in which it was asked for.
"""

from __future__ import annotations

import base64
import contextlib
import os
import queue
import re
import select
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from local_aws.authorization.service_roles import ServiceRoles
from local_aws.errors import LocalAwsError
from local_aws.machine import images, networks, ports, trust
from local_aws.machine.podman import bind
from local_aws.services.ec2 import groups, seed
from local_aws.services.ec2.doors import Doors
from local_aws.services.ec2.metadata import Metadata

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local_aws.machine.podman import Podman
    from local_aws.settings import Settings

STATES = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}
# From power on to an answering sshd; a host without one counts as up after that.
BOOT_SECONDS = 60.0
POLL_SECONDS = 0.1
# What systemd gets to bring a host down in order.
STOP_SECONDS = 60
# The kernel ends the first process of a container with this signal when it asks for a reboot.
REBOOTED = 128 + 1


class Host:
    """The container behind one instance of moto's."""

    def __init__(
        self,
        settings: Settings,
        podman: Podman,
        instance: Any,
        changed: Callable[[], None],
        forget: Callable[[], None],
    ) -> None:
        """Prepare for a host that does not exist yet.

        Parameters
        ----------
        changed
            To be called when an address came to life or went.
        forget
            To be called when the host is gone, to give back what the instance held.
        """
        self.instance = instance
        self._settings = settings
        self._podman = podman
        self._changed = changed
        self._forget = forget
        self._doors: Doors | None = None
        self._console = ""
        # Whether the container runs because we want it to, so that its end is a surprise.
        self._wanted = False
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._labour, daemon=True, name=instance.id).start()

    @property
    def name(self) -> str:
        """Name of the container."""
        return str(self.instance.id)

    @property
    def folder(self) -> Path:
        """Folder with the sockets of the host."""
        return self._settings.data_dir / "hosts" / self.name

    def console(self) -> str:
        """Return what the host wrote to its console."""
        shown = self._podman.run("logs", self.name, check=False)
        return shown.stdout if shown.returncode == 0 else self._console

    def launch(self) -> None:
        """Make the host and boot it."""
        self._enter("pending")
        self._later(self._launch)

    def start(self) -> None:
        """Boot a stopped host."""
        self._enter("pending")
        self._later(self._power_on)

    def stop(self) -> None:
        """Bring the host down; its file system stays."""
        self._enter("stopping")
        self._later(self._stop)

    def reboot(self) -> None:
        """Bring the host down and up again."""
        self._later(self._reboot)

    def terminate(self) -> None:
        """Remove the host."""
        self._enter("shutting-down")
        self._later(self._terminate)

    def _later(self, work: Callable[[], None]) -> None:
        self._work.put(work)

    def _labour(self) -> None:
        while work := self._work.get():
            try:
                work()
            except (LocalAwsError, OSError) as error:
                with contextlib.suppress(LocalAwsError, OSError):
                    self._fail(str(error))

    def _enter(self, state: str) -> None:
        self.instance.instance_state.name = state
        self.instance.instance_state.code = STATES[state]

    def _fail(self, reason: str) -> None:
        """Do as AWS does with an instance that it cannot run: terminated, with the reason."""
        print(f"local AWS: {self.name}: {reason}", file=sys.stderr, flush=True)
        if self.instance.state == "terminated":
            return
        code = "Server.InternalError"
        self._terminate()
        self.instance.state_reason.code = code
        self.instance.state_reason.message = f"{code}: {reason}"

    def _launch(self) -> None:
        instance, backend = self.instance, self.instance.ec2_backend
        image = images.host_image(self._settings, self._podman, _release(instance))
        network = networks.ensure(self._podman, backend.get_vpc(instance.vpc_id))
        hostname = "ip-" + instance.private_ip.replace(".", "-")
        key = backend.key_pairs.get(instance.key_name)
        identity = seed.Identity(
            instance_id=instance.id,
            hostname=hostname,
            public_keys=(key.public_key.strip(),) if key else (),
            user_data=str(instance.user_data) if instance.user_data else None,
        )
        instance.nics[0].mac_address = networks.mac_address(instance.private_ip)
        self._doors = Doors(
            self.folder,
            self._settings.port,
            Metadata(instance, lambda: _user_data(instance), ServiceRoles(self._settings)),
            instance.id,
            lambda: groups.may_call_aws(instance),
        )
        self._podman.run(
            "create",
            f"--name={self.name}",
            f"--label={self._podman.label}",
            *networks.place(network, instance.private_ip),
            f"--hostname={hostname}",
            # podman's own way to run systemd shares the control machine's cgroup tree; without
            # privileges systemd leaves out the sandboxing of units, and says nothing.
            "--systemd=false",
            "--privileged",
            "--cgroupns=private",
            "--tmpfs=/run",
            "--tmpfs=/run/lock",
            "--tmpfs=/tmp:rw,exec",
            bind(self.folder, seed.SOCKETS),
            "--stop-signal=SIGRTMIN+3",
            "--env=container=podman",
            # The console, which podman's log keeps.
            "--tty",
            "--log-driver=k8s-file",
            image,
            "/sbin/init",
        )
        trust.copy_into(self._podman, self.name, seed.files(self._settings, identity))
        self._power_on()

    def _power_on(self) -> None:
        began = time.monotonic()
        self._podman.run("start", self.name)
        self._wanted = True
        # The watch is over a descriptor of the process, which cannot mean another one later.
        descriptor = os.pidfd_open(int(self._inspect("{{.State.Pid}}")))
        threading.Thread(
            target=self._watch, args=(descriptor,), daemon=True, name=f"{self.name} watch"
        ).start()
        self._changed()
        while self.instance.state == "pending" and not self._is_up(began):
            time.sleep(POLL_SECONDS)
        # Not if it is to be stopped or terminated meanwhile.
        if self.instance.state == "pending":
            self._enter("running")

    def _is_up(self, began: float) -> bool:
        """Return whether a host that was switched on then is up by now."""
        age = time.monotonic() - began
        if age < self._settings.ec2_seconds:
            return False
        if not self._wanted:
            # It ended by itself, which the watch has seen and will have looked into.
            return True
        return age > BOOT_SECONDS or _answers(self.instance.private_ip)

    def _stop(self) -> None:
        self._power_off()
        self._enter("stopped")
        self._changed()

    def _power_off(self) -> None:
        self._wanted = False
        self._podman.run("stop", f"--time={STOP_SECONDS}", self.name)

    def _reboot(self) -> None:
        if self.instance.state == "running":
            self._power_off()
            self._power_on()

    def _terminate(self) -> None:
        self._wanted = False
        self._console = self.console()
        self._podman.run("rm", "--force", "--ignore", "--time=0", "--volumes", self.name)
        if self._doors is not None:
            self._doors.close()
            self._doors = None
        self._forget()
        self._enter("terminated")
        self._changed()
        self._work.put(None)

    def _inspect(self, template: str) -> str:
        shown = self._podman.run("container", "inspect", f"--format={template}", self.name)
        return shown.stdout.strip()

    def _watch(self, descriptor: int) -> None:
        """Wait for the end of the container; see what is to be done if the host itself made it."""
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll()
        finally:
            os.close(descriptor)
        if self._wanted:
            self._wanted = False
            self._later(self._ended_itself)

    def _ended_itself(self) -> None:
        if self.instance.state not in {"pending", "running"}:
            return
        status = int(self._podman.run("wait", self.name).stdout)
        if status == REBOOTED:
            self._power_on()
        elif self.instance.instance_initiated_shutdown_behavior == "terminate":
            self.instance.terminate()
        else:
            self.instance.stop()


def _release(instance: Any) -> int:
    """Return the release of Debian of an instance's machine image."""
    found = instance.ec2_backend.describe_images(ami_ids=[instance.image_id])
    name = re.match(r"debian-(\d+)-", found[0].name or "") if found else None
    release = int(name[1]) if name else 13
    return release if release in images.CODE_NAMES else 13


def _user_data(instance: Any) -> bytes | None:
    # moto's own way to decode it takes it for text.
    return base64.b64decode(str(instance.user_data)) if instance.user_data else None


def _answers(address: str) -> bool:
    """Return whether sshd greets."""
    with contextlib.suppress(OSError), socket.socket() as connection:
        # This machine reaches no private address otherwise.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, ports.MARK)
        connection.settimeout(1)
        connection.connect((address, 22))
        return connection.recv(4) == b"SSH-"
    return False
