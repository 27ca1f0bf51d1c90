"""Hold apt's locks for some seconds, as cloud-init's packages and unattended upgrades do.

Runs inside a host, which has Python's standard library only.
"""

from __future__ import annotations

import fcntl
import sys
import time
from contextlib import ExitStack
from pathlib import Path

# In the order in which apt-get takes them, as the same kind of lock.
LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)


def hold(seconds: float) -> None:
    """Wait for the locks, take them and hold them for this many seconds."""
    with ExitStack() as stack:
        for lock in LOCKS:
            fcntl.lockf(stack.enter_context(Path(lock).open("w")), fcntl.LOCK_EX)
        time.sleep(seconds)


if __name__ == "__main__":
    hold(float(sys.argv[1]))
