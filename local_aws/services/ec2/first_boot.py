"""What a new host is still busy with when SSH answers.

A host's sshd starts long before cloud-init's last stage, in which user-data and packages are
installed. Debian's image for AWS runs `apt-daily.service` and `apt-daily-upgrade.service` next.
Both hold apt's locks. Whoever configures a host over SSH has to wait for both. Without this file a
host here would be finished within a second, before anybody logs in.

Here the real last stage of cloud-init runs a vendor's script, on the first boot alone: it holds the
locks for the time of the setting, and a unit after that stage holds them again for as long.

Sources:
https://docs.cloud-init.io/en/latest/explanation/boot.html ("Final"),
`Before=apt-daily.service` in Debian's `cloud-final.service`,
https://wiki.debian.org/PeriodicUpdates
"""

from __future__ import annotations

from pathlib import Path

from local_aws.machine.trust import File

PROGRAM = "/usr/local/lib/local-aws/hold-apt"
UNIT = "local-aws-apt-daily.service"
VENDOR_DATA = "/var/lib/cloud/seed/nocloud/vendor-data"


def files(seconds: float) -> dict[str, File]:
    """Return the files that keep a host busy for this time, twice; none for no time."""
    if not seconds:
        return {}
    hold = f"/usr/bin/python3 {PROGRAM} {seconds}"
    unit = f"""\
[Unit]
Description=Packages of the day
After=cloud-final.service

[Service]
ExecStart={hold}
"""
    script = f"#!/bin/sh\nsystemctl start --no-block {UNIT}\nexec {hold}\n"
    return {
        PROGRAM: File(Path(__file__).with_name("hold_apt.py").read_bytes()),
        f"/etc/systemd/system/{UNIT}": File(unit.encode()),
        VENDOR_DATA: File(script.encode()),
    }
