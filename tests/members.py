"""Members of a network of local AWS: the containers behind instances, databases and functions."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

    from local_aws.machine.podman import Podman

# What `timeout` returns when it had to end the command.
TIMED_OUT = 124


@dataclass(frozen=True)
class Member:
    """A container with an address in a network."""

    podman: Podman
    container: str
    address: str

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        return self.podman.run("exec", self.container, *command, check=False)

    def reaches(self, address: str, port: int, seconds: float = 5) -> bool:
        """Return whether a TCP connection opens."""
        return self._connect(address, port, seconds).returncode == 0

    def gets_nothing(self, address: str, port: int) -> bool:
        """Return whether a TCP connection is not even refused; print what else it got."""
        done = self._connect(address, port, 1)
        if done.returncode != TIMED_OUT:
            print(f"{self.container} to {address}:{port}: {done.returncode} {done.stderr}")
        return done.returncode == TIMED_OUT

    def python(self, script: str, *arguments: str) -> str:
        """Run a script; return what it prints."""
        return self.run("python3", "-c", script, *arguments).stdout.strip()

    def _connect(self, address: str, port: int, seconds: float) -> subprocess.CompletedProcess[str]:
        script = f"exec 3<>/dev/tcp/{address}/{port}"
        return self.run("timeout", str(seconds), "bash", "-c", script)


def find(podman: Podman, prefix: str) -> Member:
    """Return a running member of podman's local AWS, by the beginning of its container's name."""
    listing = ("ps", f"--filter=label={podman.label}", "--format={{.Names}}")
    name = next(name for name in podman.run(*listing).stdout.split() if name.startswith(prefix))
    shown = podman.run("container", "inspect", name).stdout
    networks = json.loads(shown)[0]["NetworkSettings"]["Networks"].values()
    [address] = [network["IPAddress"] for network in networks]
    return Member(podman, name, address)


def router(cidr: str) -> str:
    """Return the address of a network's router, where this machine is."""
    return str(ipaddress.ip_network(cidr)[1])
