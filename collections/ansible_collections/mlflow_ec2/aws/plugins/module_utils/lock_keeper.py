# SPDX-License-Identifier: Apache-2.0
"""The process that releases a deployment's lock when the run that took it has ended.

It is a program of its own, so that it outlives a run that is interrupted or killed. It reads the
lock from its input, as JSON; an empty input means that there is none. It releases the lock when the
process of the run ends, or when it gets SIGTERM.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

# Seconds between two looks at the process of the run.
PAUSE = 1


def machine() -> str:
    """Return what identifies the processes of this machine: its boot and its process namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"


def start_of(process: int) -> int | None:
    """Return when a process of this machine started, in ticks since the boot; None if it has ended.

    With this number, another process that got the same id later is not taken for it.
    """
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    # The name of the program is in parentheses, and might contain any character.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"X", "Z"} else int(fields[19])


def is_running(process: int, start: int) -> bool:
    """Return whether the process of this machine that started at that time is running."""
    return start_of(process) == start


def release(client: Any, bucket: str, key: str, version: str) -> None:
    """Delete a lock, and no later one of the same key."""
    try:
        client.delete_object(Bucket=bucket, Key=key, VersionId=version)
    except client.exceptions.NoSuchBucket:
        # The run has deleted the deployment.
        return


def main() -> None:
    """Wait for the end of the run."""
    # Blocked from here on, so that it is only noticed below.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
    text = sys.stdin.read()
    if not text:
        return
    lock = json.loads(text)
    import boto3  # noqa: PLC0415  it takes longer than all else, and modules import this file

    client = boto3.client("s3", region_name=lock["region"])
    while is_running(lock["process"], lock["start"]):
        if signal.sigtimedwait({signal.SIGTERM}, PAUSE):
            break
    release(client, lock["bucket"], lock["key"], lock["version_id"])


if __name__ == "__main__":
    main()
