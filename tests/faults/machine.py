"""The host's disk, memory and clock, and certificates that have expired."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from local_aws import certificates
from tests.certificates import reissued
from tests.faults.database import end_sessions
from tests.faults.fault import Fault, lasting
from tests.sites_below import PROXY, SERVER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack
    from pathlib import Path

    from tests.sites_below import Site

FOLDERS = "/var/log/mlflow /var/cache/mlflow /var/lib/mlflow"
DISK_KIB = 512
HOG_SECONDS = 6
WORKER_SCORE = "900"
# It joins the server's control group, and takes 16 MiB at a time. The kernel kills the process with
# the highest score, and counts that.
HOG = """
import pathlib, subprocess, sys, time

def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

unit, score, seconds = sys.argv[1:]
group, main = (
    run("systemctl", "show", "--value", f"--property={name}", unit)
    for name in ("ControlGroup", "MainPID")
)
first = pathlib.Path(f"/sys/fs/cgroup/memory{group}")
folder = first if first.exists() else pathlib.Path(f"/sys/fs/cgroup{group}")
counters = folder / ("memory.oom_control" if first.exists() else "memory.events")
# The supervisor adopts the workers from the process that has forked them.
workers = run("pgrep", "--parent", main).split()
assert workers, f"{unit}: process {main} has no workers"
for worker in workers:
    pathlib.Path(f"/proc/{worker}/oom_score_adj").write_text(score)
(folder / "cgroup.procs").write_text("0")

def killed():
    lines = counters.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

before, taken = killed(), []
while killed() == before:
    taken.append(b"x" * (16 << 20))
time.sleep(float(seconds))
"""
CLOCK_FILE = "/etc/faketimerc"
CLOCK_DROP_IN = f"/run/systemd/system/{SERVER}.d/clock.conf"
CLOCK_JUMP = "+3600"
CLOCK_SECONDS = 40
YESTERDAY = timedelta(days=-1)
CADDY_DATA = "/var/lib/caddy/.local/share/caddy"


def prepare_disk(site: Site, stack: ExitStack) -> None:
    """Give the folders of the server a small file system, which can be full."""
    site.host(
        f"systemctl stop {SERVER}\n"
        f"for folder in {FOLDERS}; do\n"
        '  owner=$(stat --format=%u:%g "$folder"); mode=$(stat --format=%a "$folder")\n'
        f'  mount -t tmpfs -o "size={DISK_KIB}k,mode=$mode" tmpfs "$folder"\n'
        '  chown "$owner" "$folder"\n'
        "done\n"
        f"systemctl start {SERVER}"
    )
    stack.callback(
        site.host,
        f"systemctl stop {SERVER}\numount {FOLDERS}\nsystemctl start {SERVER}",
    )


def fill_disk(site: Site) -> None:
    site.host(f"for folder in {FOLDERS}; do head -c 10M /dev/zero >$folder/filling || true; done")


def empty_disk(site: Site) -> None:
    site.host(f"for folder in {FOLDERS}; do rm $folder/filling; done")


@contextlib.contextmanager
def memory_short(site: Site, _: ExitStack) -> Iterator[None]:
    """Take the memory that the server is allowed, until the kernel has killed a worker."""
    arguments = ("python3", "-c", HOG, SERVER, WORKER_SCORE, str(HOG_SECONDS))
    site.podman.run("exec", site.instance, *arguments)
    yield


def prepare_clock(site: Site, stack: ExitStack) -> None:
    """Have the server's processes ask libfaketime for the time; no container has its own clock."""
    site.host(
        "apt-get --quiet --quiet update >&2\n"
        "apt-get --quiet --quiet --no-install-recommends install libfaketime >&2\n"
        f"echo +0 >{CLOCK_FILE}\nchmod 0644 {CLOCK_FILE}\nmkdir -p $(dirname {CLOCK_DROP_IN})\n"
        "library=$(echo /usr/lib/*/faketime/libfaketimeMT.so.1)\n"
        'printf "[Service]\\nEnvironment=LD_PRELOAD=%s FAKETIME_NO_CACHE=1\\n'
        'Environment=FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_TIMESTAMP_FILE=%s\\n" '
        f"$library {CLOCK_FILE} >{CLOCK_DROP_IN}\n"
        f"systemctl daemon-reload\nsystemctl restart {SERVER}"
    )
    stack.callback(
        site.host,
        f"rm {CLOCK_DROP_IN} {CLOCK_FILE}\nsystemctl daemon-reload\nsystemctl restart {SERVER}",
    )


def set_clock(site: Site, offset: str) -> None:
    # At once: nobody reads an empty file.
    new = f"{CLOCK_FILE}.new"
    site.host(f"echo {offset} >{new}\nchmod 0644 {new}\nmv {new} {CLOCK_FILE}")
    # The server's own log has the new time.
    audit = "tail -n 1 /var/log/mlflow/audit.jsonl"
    deadline = time.monotonic() + CLOCK_SECONDS
    expected = datetime.now(UTC) + timedelta(seconds=int(offset))
    while not site.host(audit).startswith(f'{{"time": "{expected:%Y-%m-%dT%H}'):
        assert time.monotonic() < deadline, site.host(audit)
        time.sleep(0.2)


def jump_forward(site: Site) -> None:
    set_clock(site, CLOCK_JUMP)


def jump_back(site: Site) -> None:
    set_clock(site, "+0")


@contextlib.contextmanager
def database_certificate_expired(site: Site, _: ExitStack) -> Iterator[None]:
    """Have PostgreSQL show a certificate of yesterday to everybody who connects."""
    file = site.database_folder / "config/server.crt"
    valid = file.read_bytes()
    authority = certificates.rds_authority(site.settings)
    show_certificate(site, file, reissued(valid, authority.key_file.read_bytes(), YESTERDAY))
    try:
        yield
    finally:
        show_certificate(site, file, valid)


def show_certificate(site: Site, file: Path, certificate: bytes) -> None:
    file.write_bytes(certificate)
    site.sql("SELECT pg_reload_conf()")
    end_sessions(site)


@contextlib.contextmanager
def proxy_certificate_expired(site: Site, _: ExitStack) -> Iterator[None]:
    """Let the certificate of the proxy expire while the proxy is stopped."""
    name = f"$(ls -d {CADDY_DATA}/certificates/local/*/ | grep -F {site.address})"
    file = f"$(ls {name}/*.crt)"
    site.host(f"systemctl stop {PROXY}")
    chain = site.host(f"cat {file}").encode()
    key = site.host(f"cat {CADDY_DATA}/pki/authorities/local/intermediate.key").encode()
    old = reissued(chain, key, YESTERDAY)
    site.host(f"cat >{file} <<'END'\n{old.decode().strip()}\nEND\nsystemctl start {PROXY}")
    yield


FAULTS = (
    Fault("disk of the host full", lasting(fill_disk, empty_disk), 8, prepare=prepare_disk),
    Fault("memory of the server short", memory_short, limit=90),
    Fault("clock jumps by an hour", lasting(jump_forward, jump_back), 6, prepare=prepare_clock),
    Fault("certificate of PostgreSQL expired", database_certificate_expired, seconds=6),
    Fault("certificate of the proxy expired", proxy_certificate_expired),
)
