"""Operators at work: a host that is replaced, an interrupted site.yml, a rotation, a start."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

from tests.conftest import BIN
from tests.faults.artifacts import ruled
from tests.faults.fault import Fault, event
from tests.sites_below import SERVER, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from tests.sites_below import Site

# Plays and tasks at whose start site.yml is killed.
STAGES = (
    "PLAY [Create the network]",
    "PLAY [Create the host]",
    "TASK [tls_proxy : ",
    "TASK [mlflow : Write the unit]",
)
STAGE_SECONDS = 300


def lose_host(site: Site) -> None:
    """Terminate the host as nobody has asked for, and create another by site.yml."""
    ec2, instance = site.aws.client("ec2"), site.instance
    ec2.terminate_instances(InstanceIds=[instance])
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1})
    run_site(site)


def run_site(site: Site) -> None:
    play = site.aws.play("site.yml")
    assert play.returncode == 0, play.output


def rotate(site: Site) -> None:
    play = site.aws.play("playbooks/rotate_keys.yml")
    assert play.returncode == 0, play.output


def kill_site(site: Site) -> None:
    """Kill site.yml at several stages, one run each; then let a run finish."""
    for stage in STAGES:
        kill_at(site, stage)
    run_site(site)


def kill_at(site: Site, stage: str) -> None:
    """Kill site.yml with its children when it begins a play or a task."""
    with subprocess.Popen(
        [BIN / "ansible-playbook", "site.yml", *site.aws.extra_variables],
        cwd=site.aws.clone,
        env=site.aws.environment | {"ANSIBLE_FORCE_COLOR": "0"},
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        timer = threading.Timer(STAGE_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if stage in line:
                break
        else:
            timer.cancel()
            raise AssertionError(f"site.yml did not reach {stage}:\n{''.join(lines)}")
        timer.cancel()
        os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def start_without_aws(site: Site, _: ExitStack) -> Iterator[None]:
    """Restart the server while neither Secrets Manager nor any other service of AWS answers."""
    with ruled(site, "filter hook output priority 0", "reject with tcp reset"):
        site.host(f"systemctl restart {SERVER}")
        wait_until(lambda: site.host(f"systemctl is-active {SERVER}") == "active", 60)
        yield


FAULTS = (
    Fault("start while Secrets Manager is away", start_without_aws),
    Fault("site.yml killed at stages, then repeated", event(kill_site)),
    Fault("keys rotated", event(rotate)),
    Fault("host lost, replaced by site.yml", event(lose_host)),
)
