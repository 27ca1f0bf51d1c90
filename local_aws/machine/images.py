"""Images of hosts and databases, made on this machine from Debian's packages.

A database's has the programs of each major version of PostgreSQL (module `postgresql`).

They are in podman's storage, which is their cache: `localhost/local-aws/debian-13` and so on, with
a tag that is the hash of the recipe. A changed recipe makes a new image; an interrupted build
leaves none.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local_aws.errors import LocalAwsError
from local_aws.machine import postgresql, trust

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_aws.machine.podman import Podman
    from local_aws.settings import Settings

REPOSITORY = "localhost/local-aws"
CODE_NAMES = {12: "bookworm", 13: "trixie"}
# Hosts are cut off from a terminal; nothing would ever answer a question.
QUIET_APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y")

# What Debian's image for AWS brings and a host needs; chrony and the kernel are the machine's.
HOST_PACKAGES = (
    "adduser",
    "apt-utils",
    "bash-completion",
    "ca-certificates",
    "cloud-init",
    "curl",
    "dbus",
    "iproute2",
    "iputils-ping",
    "less",
    "libpam-systemd",
    "netbase",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "sudo",
    "systemd",
    "systemd-sysv",
    "tzdata",
    "vim-tiny",
)
# Documentation in a host that lives for an hour is weight; copyright files stay.
DPKG_OPTIONS = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*/LC_MESSAGES/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)
# Units that expect a machine of their own: devices, kernel modules, consoles.
MASKED = (
    "systemd-modules-load.service",
    "systemd-remount-fs.service",
    "dev-hugepages.mount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "getty.target",
    "console-getty.service",
    "ifup@.service",
    "networking.service",
)
# Debian's own waits for the "first boot", which a container never has; it makes only what is
# missing, so each host gets keys of its own, whether cloud-init made some before or not.
HOST_KEYS_UNIT = """\
[Unit]
Description=Generate the missing host keys of sshd
Before=ssh.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=ssh.service
"""
# An image of AWS is weeks old, and so are its lists. If the empty lists looked fresh, Ansible would
# skip the update.
PACKAGE_LISTS_UNIT = """\
[Unit]
Description=Let the empty package lists look as old as they are
ConditionPathExistsGlob=!/var/lib/apt/lists/*Release
DefaultDependencies=no
After=local-fs.target
Before=sysinit.target

[Service]
Type=oneshot
ExecStart=/usr/bin/touch --date=@0 /var/lib/apt/lists

[Install]
WantedBy=sysinit.target
"""
FINISH_HOST = """\
set -eu
systemctl --root="$1" --quiet mask {masked}
mkdir -p "$1/etc/systemd/system"
printf '%s' "$HOST_KEYS_UNIT" > "$1/etc/systemd/system/sshd-keygen.service"
systemctl --root="$1" --quiet enable sshd-keygen.service
rm -f "$1"/etc/ssh/ssh_host_*
: > "$1/etc/machine-id"
rm -f "$1/var/lib/dbus/machine-id" "$1/etc/hostname" "$1/etc/resolv.conf"
printf 'policy: disabled\\n' > "$1/etc/cloud/ds-identify.cfg"
printf '%s' "$PACKAGE_LISTS_UNIT" > "$1/etc/systemd/system/package-lists.service"
systemctl --root="$1" --quiet enable package-lists.service
"""


@dataclass(frozen=True)
class Recipe:
    """All that decides what is in an image of a host."""

    release: int
    sources: tuple[str, ...]
    packages: tuple[str, ...] = HOST_PACKAGES
    dpkg_options: tuple[str, ...] = DPKG_OPTIONS
    finish: str = FINISH_HOST.format(masked=" ".join(MASKED))
    host_keys_unit: str = HOST_KEYS_UNIT
    package_lists_unit: str = PACKAGE_LISTS_UNIT

    @property
    def tag(self) -> str:
        """Hash of the recipe."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def host_image(settings: Settings, podman: Podman, release: int = 13) -> str:
    """Return the image of hosts with this release of Debian; build it if it is missing.

    Raises
    ------
    LocalAwsError
        When it cannot be built, or the base image named in the settings does not exist.
    """
    if settings.base_image is not None:
        if not podman.exists("image", settings.base_image):
            raise LocalAwsError(
                f"LOCAL_AWS_BASE_IMAGE={settings.base_image} is not in podman's storage: "
                f"`podman pull {settings.base_image}` as root, or unset the variable."
            )
        return settings.base_image
    recipe = Recipe(release, tuple(trust.debian_sources(CODE_NAMES[release])))
    name = f"{REPOSITORY}/debian-{release}:{recipe.tag}"
    with _one_builder(podman):
        if not podman.exists("image", name):
            with _progress(f"building the image of Debian {release} (once, about a minute)"):
                _build_host(settings, podman, recipe, name)
        podman.run("tag", name, f"{REPOSITORY}/debian-{release}:latest")
    return name


def database_image(settings: Settings, podman: Podman) -> str:
    """Return the image of databases, which is a host's with PostgreSQL; build it if missing.

    The package's default cluster is not made.

    Raises
    ------
    LocalAwsError
        When it cannot be built.
    """
    host = host_image(settings, podman)
    host_id = podman.run("image", "inspect", "--format={{.Id}}", host).stdout.strip()
    recipe = hashlib.sha256((host_id + postgresql.recipe()).encode()).hexdigest()
    name = f"{REPOSITORY}/postgresql:{recipe[:16]}"
    with _one_builder(podman):
        if not podman.exists("image", name):
            versions = " and ".join(map(str, postgresql.MAJORS))
            with _progress(f"adding PostgreSQL {versions} for databases (once)"):
                _build_database(settings, podman, host, name)
        podman.run("tag", name, f"{REPOSITORY}/postgresql:latest")
    return name


def _build_host(settings: Settings, podman: Podman, recipe: Recipe, name: str) -> None:
    if shutil.which("mmdebstrap") is None:
        raise LocalAwsError(
            "mmdebstrap is not installed, which makes the image of the hosts: `make up` installs "
            "it on Debian and Ubuntu. Elsewhere name a Debian image with systemd, openssh-server, "
            "cloud-init, sudo and python3 in LOCAL_AWS_BASE_IMAGE."
        )
    folder = settings.data_dir / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="image-", dir=folder, ignore_cleanup_errors=True
    ) as scratch:
        archive = Path(scratch) / "root.tar"
        hook = Path(scratch) / "finish"
        hook.write_text(f"#!/bin/sh\n{recipe.finish}")
        hook.chmod(0o755)
        result = subprocess.run(
            [
                # What it mounts is seen by nobody else and goes with it, however it ends.
                *("setpriv", "--pdeathsig=KILL"),
                *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
                "mmdebstrap",
                "--mode=root",
                "--variant=minbase",
                "--format=tar",
                f"--include={','.join(recipe.packages)}",
                *(f"--dpkgopt={option}" for option in recipe.dpkg_options),
                f'--customize-hook={hook} "$1"',
                "--skip=cleanup/reproducible",
                CODE_NAMES[recipe.release],
                str(archive),
                *recipe.sources,
            ],
            env=os.environ
            | {
                "HOST_KEYS_UNIT": recipe.host_keys_unit,
                "PACKAGE_LISTS_UNIT": recipe.package_lists_unit,
                "LC_ALL": "C.UTF-8",
                "TMPDIR": scratch,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise LocalAwsError(
                f"The image of Debian {recipe.release} could not be built; mmdebstrap's last "
                f"words:\n{_end(result.stderr)}"
            )
        podman.run("import", "--change=CMD /sbin/init", str(archive), name)


def _build_database(settings: Settings, podman: Podman, host: str, name: str) -> None:
    # The control machine's own network: what reaches the mirror here reaches it in there.
    container = podman.run(
        "create",
        f"--label={podman.label}",
        "--network=host",
        host,
        "sleep",
        "infinity",
    ).stdout.strip()
    try:
        trust.copy_into(podman, container, trust.authority_files() | trust.apt_files())
        podman.run("start", container)
        for command in (
            ("update-ca-certificates",),
            ("mkdir", "-p", "/etc/postgresql-common"),
            (
                "sh",
                "-c",
                "echo create_main_cluster = false > /etc/postgresql-common/createcluster.conf",
            ),
            (*QUIET_APT, "update"),
            (*QUIET_APT, "install", "--no-install-recommends", *postgresql.DEBIAN_PACKAGES),
            ("apt-get", "clean"),
            ("sh", "-c", "rm -rf /var/lib/apt/lists/*"),
        ):
            result = podman.run("exec", container, *command, check=False)
            if result.returncode:
                raise LocalAwsError(
                    f"PostgreSQL could not be installed; `{' '.join(command)}` "
                    f"says:\n{_end(result.stdout + result.stderr)}"
                )
        postgresql.add_wheels(settings, podman, container)
        podman.run("commit", "--quiet", "--change=CMD /sbin/init", container, name)
    finally:
        podman.run("rm", "--force", "--time=0", container)


def _end(text: str) -> str:
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
    return "\n".join(lines[-12:])


@contextlib.contextmanager
def _one_builder(podman: Podman) -> Iterator[None]:
    """Let one build run at a time on this machine; the others find its result."""
    storage = podman.run("info", "--format={{.Store.GraphRoot}}").stdout.strip()
    descriptor = os.open(storage, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _progress(what: str) -> Iterator[None]:
    print(f"local AWS: {what} …", file=sys.stderr, flush=True)
    began = time.monotonic()
    yield
    print(f"local AWS: done after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
