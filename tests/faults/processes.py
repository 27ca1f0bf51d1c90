"""Processes of the host that end, or do nothing any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.fault import Fault, event
from tests.sites_below import PROXY, SERVER, wait_until

if TYPE_CHECKING:
    from tests.sites_below import Site


# The oldest worker, which has most connections.
WORKER = (
    "$(pgrep --oldest --full --parent "
    f"$(systemctl show --property=MainPID --value {SERVER}) multiprocessing.forkserver)"
)


def kill_worker(site: Site) -> None:
    site.host(f"kill -KILL {WORKER}")


def freeze_worker(site: Site) -> None:
    site.host(f"kill -STOP {WORKER}")


def kill_server(site: Site) -> None:
    site.host(f"systemctl kill --signal=KILL {SERVER}")


def kill_proxy(site: Site) -> None:
    site.host(f"systemctl kill --signal=KILL {PROXY}")


def reboot(site: Site) -> None:
    """Ask EC2 for it, and wait until the host has gone down."""
    instance = site.instance
    before = site.process_of(instance)
    site.aws.client("ec2").reboot_instances(InstanceIds=[instance])
    wait_until(lambda: site.process_of(instance) not in (before, 0), 120)


FAULTS = (
    Fault("worker killed", event(kill_worker)),
    Fault("worker frozen", event(freeze_worker)),
    Fault("server killed", event(kill_server)),
    Fault("proxy killed", event(kill_proxy)),
    Fault("host rebooted", event(reboot), limit=120),
)
