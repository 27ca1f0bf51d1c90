"""A host whose journal is shipped, and lines in it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.systemd_host import SystemdHost, booted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINES = """
import sys
for number in range(int(sys.argv[1]), int(sys.argv[2])):
    print(f'{number} "quoted" back\\\\slash \\u00e9 ' + "x" * 200, flush=True)
"""


@contextmanager
def journal_host(folder: Path, name: str) -> Iterator[SystemdHost]:
    """Run a host with a journal as role host configures it."""
    with booted(folder, f"{name}-{folder.parent.name}", 5000) as host:
        host.run("mkdir", "--parents", "/var/log/journal")
        host.run("systemctl", "restart", "systemd-journald")
        host.run("journalctl", "--flush")
        yield host


def write(host: SystemdHost, program: str, start: int, end: int) -> None:
    """Write numbered lines to the journal."""
    identified = f"--property=SyslogIdentifier={program}"
    # systemd passes an interval of 0 on as the journal's own.
    unlimited = ("--property=LogRateLimitIntervalSec=30s", "--property=LogRateLimitBurst=10000000")
    host.run(
        *("systemd-run", "--wait", "--collect", "--quiet", identified, *unlimited),
        *("--setenv=PYTHONIOENCODING=utf-8", "python3", "-c", LINES, str(start), str(end)),
    )


def line(number: int) -> str:
    """Return the text of a line."""
    return f'{number} "quoted" back\\slash é ' + "x" * 200
