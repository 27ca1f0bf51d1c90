"""A host of Debian with systemd, on which a test runs one role."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_aws.machine import images
from local_aws.machine.podman import Podman
from local_aws.settings import Settings
from tests.conftest import BIN, RECAP, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PLAYBOOK = """
- hosts: all
  gather_facts: {facts}
  tasks:
    - ansible.builtin.import_role:
        name: {role}
        tasks_from: {tasks_from}
"""


@dataclass(frozen=True)
class SystemdHost:
    """A running host.

    Attributes
    ----------
    name
        Name of its container.
    port
        The port of loopback that leads to the host's published one.
    folder
        Files of the test.
    """

    name: str
    podman: Podman
    port: int
    folder: Path

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on the host as root."""
        return self.podman.run("exec", self.name, *command, check=check)

    def play_role(
        self,
        role: str,
        variables: Mapping[str, object],
        *options: str,
        facts: bool = True,
        tasks_from: str = "main",
    ) -> tuple[dict[str, int], str]:
        """Run a role, or an entry point of it; return the sums of its recap and its output."""
        playbook = self.folder / f"{role}.yml"
        playbook.write_text(
            PLAYBOOK.format(role=role, tasks_from=tasks_from, facts=str(facts).lower())
        )
        extra = {
            "ansible_connection": "podman",
            "ansible_python_interpreter": "/usr/bin/python3",
            **variables,
        }
        done = subprocess.run(
            [
                *(f"{BIN}/ansible-playbook", f"--inventory={self.name},", "--diff"),
                *(f"--extra-vars={json.dumps(extra)}", *options, str(playbook)),
            ],
            check=False,
            cwd=ROOT,
            env=self.podman.environment,
            text=True,
            capture_output=True,
        )
        output = done.stdout + done.stderr
        rows = RECAP.findall(output)
        assert rows, output
        names = ("ok", "changed", "unreachable", "failed")
        return {name: sum(int(row[i + 1]) for row in rows) for i, name in enumerate(names)}, output


@contextmanager
def booted(folder: Path, name: str, port: int, release: int = 13) -> Iterator[SystemdHost]:
    """Run a host as Debian's image of a release has it, with one port published on loopback."""
    settings = Settings(data_dir=folder)
    podman = Podman(settings)
    image = images.host_image(settings, podman, release=release)
    try:
        podman.run(
            *("run", "--detach", f"--name={name}", f"--label={podman.label}", "--privileged"),
            *("--systemd=false", "--cgroupns=private", f"--publish=127.0.0.1::{port}"),
            *("--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp:rw,exec"),
            *("--stop-signal=SIGRTMIN+3", "--env=container=podman", image, "/sbin/init"),
        )
        published = podman.run("port", name, str(port)).stdout.split()[0]
        host = SystemdHost(name, podman, int(published.rpartition(":")[2]), folder)
        deadline = time.monotonic() + 60
        while host.run("systemctl", "is-system-running", check=False).stdout.strip() not in {
            "running",
            "degraded",
        }:
            assert time.monotonic() < deadline, "the host does not boot"
            time.sleep(0.3)
        yield host
    finally:
        podman.remove_all()
