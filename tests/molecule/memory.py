"""How much memory the services take that the kernel cannot take back."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testinfra.host import Host

SERVICES = ("mlflow", "caddy")
# cgroup 2, or cgroup 1 with a tree per controller.
READ = """\
set -e
group=$(systemctl show --property=ControlGroup --value {unit})
cat /sys/fs/cgroup/{tree}$group/{file} 2>/dev/null || cat /sys/fs/cgroup$group/{file}
"""


def processes(host: Host, unit: str) -> set[str]:
    """Return the ids of a service's processes."""
    script = READ.format(unit=unit, tree="systemd", file="cgroup.procs")
    return set(host.check_output(script).split())


def held(host: Host) -> int:
    """Return the bytes that belong to processes or to memory file systems, without caches."""
    total = 0
    for unit in SERVICES:
        script = READ.format(unit=unit, tree="memory", file="memory.stat")
        lines = host.check_output(script).splitlines()
        stat = {name: int(value) for name, value in (line.split() for line in lines)}
        total += (
            stat["total_rss"] + stat["total_shmem"]
            if "total_rss" in stat
            else stat["anon"] + stat["shmem"]
        )
    return total


@contextlib.contextmanager
def memory_growth(host: Host) -> Iterator[Callable[[], int]]:
    """Watch the services; the yielded function says afterwards by how many bytes they grew."""
    before = most = held(host)
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.5):
            most = max(most, held(host))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: most - before
    finally:
        done.set()
        thread.join()
        most = max(most, held(host))
