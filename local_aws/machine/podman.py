"""podman, as this machine needs it to be called.

On an ordinary machine that is just ``podman``. Inside a container or another sandbox podman's
defaults fail in ways that it does not explain: then a ``containers.conf`` of our own fixes exactly
what is missing, found out by looking and not by asking which machine this is.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from local_aws.errors import LocalAwsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_aws.settings import Settings

CAP_SYS_RESOURCE = 24
# What podman asks for by itself.
WANTED_FILES = 1048576
# Since this version a second file can be laid over the user's own.
OVERRIDE_VERSION = (4, 6)

Tables = dict[str, dict[str, str | list[str]]]


class PodmanError(LocalAwsError):
    """A podman command failed.

    Attributes
    ----------
    stderr
        What podman said.
    """

    def __init__(self, command: list[str], returncode: int, stderr: str) -> None:
        """Keep what podman said, and say which command it was."""
        super().__init__(f"`{' '.join(command[:3])}` failed ({returncode}): {stderr.strip()}")
        self.stderr = stderr


class Podman:
    """podman with the environment that this machine needs.

    Attributes
    ----------
    label
        Label that everything made for this local AWS carries, and by which it is removed.
    """

    def __init__(self, settings: Settings) -> None:
        """Look at nothing yet: the machine is examined at the first command."""
        self._settings = settings
        self._lock = threading.Lock()
        self._environment: dict[str, str] | None = None
        # podman reads filters as lines of CSV, so only the plain characters of a path stay.
        self.label = f"local-aws={quote(str(settings.data_dir))}"

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for podman.

        Raises
        ------
        LocalAwsError
            When podman is not installed or we are not root.
        """
        with self._lock:
            if self._environment is None:
                self._environment = self._examine()
            return self._environment

    def run(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end and return what it printed.

        Raises
        ------
        PodmanError
            When it fails, unless `check` is false.
        """
        command = ["podman", *args]
        result = subprocess.run(
            command,
            env=self.environment,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and result.returncode:
            raise PodmanError(command, result.returncode, result.stderr)
        return result

    def exists(self, kind: str, name: str) -> bool:
        """Return whether there is a container, an image, a network or a volume of this name.

        Raises
        ------
        PodmanError
            When podman does not say so.
        """
        result = self.run(kind, "exists", name, check=False)
        if result.returncode not in {0, 1}:
            raise PodmanError(["podman", kind, "exists", name], result.returncode, result.stderr)
        return result.returncode == 0

    def popen(self, *args: str, **options: Any) -> subprocess.Popen[Any]:
        """Start one command; `options` are those of subprocess.Popen."""
        return subprocess.Popen(["podman", *args], env=self.environment, **options)

    def remove_all(self) -> None:
        """Remove every container, network and volume that carries our label."""
        for kind, listing, removal in (
            ("container", ("ls", "--all", "--quiet"), ("rm", "--force", "--time=0", "--volumes")),
            ("network", ("ls", "--quiet"), ("rm", "--force")),
            ("volume", ("ls", "--quiet"), ("rm", "--force")),
        ):
            found = self.run(kind, *listing, "--filter", f"label={self.label}").stdout.split()
            if found:
                self.run(kind, *removal, *found)

    def _examine(self) -> dict[str, str]:
        if shutil.which("podman") is None:
            raise LocalAwsError(
                "podman is not installed: `make up` installs it on Debian and Ubuntu, or run "
                "scripts/system-packages.sh to see what is missing."
            )
        if os.geteuid() != 0:
            raise LocalAwsError(
                "Hosts with systemd need root: run this with sudo (`make up` asks for it)."
            )
        overrides = _version() >= OVERRIDE_VERSION
        # conmon ends over a path that is not of the locale's encoding.
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        if not overrides:
            environment.pop("CONTAINERS_CONF", None)
        tables = _lacking()
        if _network_backend(environment) != "netavark":
            tables["network"] = {"network_backend": "netavark"}
        if tables:
            path = self._settings.data_dir / "containers.conf"
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_suffix(f".{os.getpid()}")
            new.write_text(_toml(tables))
            new.replace(path)
            environment["CONTAINERS_CONF_OVERRIDE" if overrides else "CONTAINERS_CONF"] = str(path)
        return environment


def csv_field(text: str) -> str:
    """Return `text` as one field of an option that podman reads as a line of CSV."""
    return '"' + text.replace('"', '""') + '"'


def bind(source: Path, target: str, *, read_only: bool = False) -> str:
    """Return podman's argument that mounts a folder; `--volume` would end it at the first colon."""
    options = ",ro=true" if read_only else ""
    return f"--mount=type=bind,{csv_field(f'source={source}')},destination={target}{options}"


def _lacking() -> Tables:
    """Return what this machine needs beyond podman's defaults, networks left out."""
    tables: Tables = {}
    if not _may_raise_limits():
        tables["containers"] = {"default_ulimits": list(_own_limits())}
    engine: dict[str, str | list[str]] = {}
    if not Path("/run/systemd/system").is_dir():
        engine |= {"cgroup_manager": "cgroupfs", "events_logger": "file"}
    if not Path("/sys/fs/cgroup/cgroup.controllers").is_file():
        # crun refuses machines that use both generations of cgroups.
        engine["runtime"] = "runc"
    if engine:
        tables["engine"] = engine
    return tables


def _network_backend(environment: dict[str, str]) -> str:
    return subprocess.run(
        ["podman", "info", "--format", "{{.Host.NetworkBackend}}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()


def _version() -> tuple[int, ...]:
    printed = subprocess.run(
        ["podman", "--version"], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"(\d+)\.(\d+)", printed)
    if found is None:
        raise LocalAwsError(f"`podman --version` says {printed.strip()!r}, which is not a version.")
    return tuple(int(number) for number in found.groups())


def _may_raise_limits() -> bool:
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> CAP_SYS_RESOURCE & 1)


def _own_limits() -> Iterator[str]:
    """Give as much as we have: more cannot be had without the capability."""
    for name, limit, wanted in (
        ("nofile", resource.RLIMIT_NOFILE, WANTED_FILES),
        # podman lowers its own limit to the number of processes that the kernel can count.
        ("nproc", resource.RLIMIT_NPROC, int(Path("/proc/sys/kernel/pid_max").read_text())),
    ):
        hard = resource.getrlimit(limit)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        yield f"{name}={value}:{value}"


def _toml(tables: Tables) -> str:
    # JSON's strings and lists of strings are TOML's too.
    return "".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    )
