"""PostgreSQL that restarts, crashes, refuses, or is slow."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.fault import Fault, event, lasting
from tests.sites_below import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from tests.sites_below import Site

FILLING = "filling"
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'mlflow%'"
END_SESSIONS = SESSIONS.replace("count(*)", "pg_terminate_backend(pid)")
# PostgreSQL works in so much of the time only.
FROZEN_SECONDS, RUNNING_SECONDS = 0.4, 0.08


def restart(site: Site) -> None:
    site.aws.client("rds").reboot_db_instance(DBInstanceIdentifier=f"{site.name}-mlflow")


@contextlib.contextmanager
def failed_over(site: Site, _: ExitStack) -> Iterator[None]:
    """Let the standby take over; the fault ends when RDS says that it has."""
    name = f"{site.name}-mlflow"
    site.aws.client("rds").reboot_db_instance(DBInstanceIdentifier=name, ForceFailover=True)
    try:
        yield
    finally:
        site.wait_for_database("available")


def kill(site: Site) -> None:
    before = site.database_process
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: site.database_process not in (before, 0), 60)


def backends(process: int) -> list[int]:
    """Return PostgreSQL's other processes."""
    return [
        int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


def kill_backend(site: Site) -> None:
    """Kill the process of one session; PostgreSQL then ends all others, and recovers."""
    wait_until(lambda: int(site.sql(SESSIONS)), 10)
    titles = {
        pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in backends(site.database_process)
    }
    os.kill(next(pid for pid, title in titles.items() if b" mlflow" in title), signal.SIGKILL)


def end_sessions(site: Site) -> None:
    site.sql(END_SESSIONS)


@contextlib.contextmanager
def out_of_connections(site: Site, _: ExitStack) -> Iterator[None]:
    """End the sessions of the server's role, and allow it no other."""
    role = site.sql("SELECT usename FROM pg_stat_activity WHERE usename LIKE 'mlflow%' LIMIT 1")
    limit = site.sql(f"SELECT rolconnlimit FROM pg_roles WHERE rolname = '{role}'")  # noqa: S608
    site.sql(f"ALTER ROLE {role} CONNECTION LIMIT 0")
    try:
        end_sessions(site)
        yield
    finally:
        site.sql(f"ALTER ROLE {role} CONNECTION LIMIT {limit}")


def fill_disk(site: Site) -> None:
    data = site.database_folder / "data"
    with (data / FILLING).open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert os.statvfs(data).f_bavail == 0


def empty_disk(site: Site) -> None:
    """Make room; start PostgreSQL if it has given up, as RDS does with more storage."""
    (site.database_folder / "data" / FILLING).unlink()
    if not site.database_process:
        site.podman.run("start", site.database_container)


@contextlib.contextmanager
def slow(site: Site, _: ExitStack) -> Iterator[None]:
    """Stop all processes of PostgreSQL for most of the time."""
    enough = threading.Event()
    main = site.database_process

    def send(number: int) -> None:
        for pid in (*backends(main), main):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def work() -> None:
        while not enough.wait(RUNNING_SECONDS):
            send(signal.SIGSTOP)
            enough.wait(FROZEN_SECONDS)
            send(signal.SIGCONT)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


FAULTS = (
    Fault("PostgreSQL restarted", event(restart)),
    Fault("PostgreSQL fails over", failed_over),
    Fault("PostgreSQL killed", event(kill)),
    Fault("session of PostgreSQL killed", event(kill_backend)),
    Fault("PostgreSQL ends all sessions", event(end_sessions)),
    Fault("PostgreSQL out of connections", out_of_connections, seconds=8),
    Fault("PostgreSQL out of disk", lasting(fill_disk, empty_disk), seconds=8, limit=90),
    Fault("PostgreSQL slow", slow, seconds=10),
)
