"""How long the playbooks take: a first run on slow machines, and a run that changes nothing.

The first run is compared with what no order of tasks could beat: local AWS is told that a database
takes 120 s and a host 60 s, so the longer chain is the database's, and what comes after it. The
run without change is compared with the same tasks under the settings that Ansible has by itself.
It takes about a quarter of an hour, on ports and addresses of its own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import ROOT, LocalAws, started

if TYPE_CHECKING:
    from tests.conftest import Play

RDS_SECONDS, EC2_SECONDS = 120, 60
# Where things are; all else as Ansible has it.
PLAIN = f"""[defaults]
inventory = {ROOT}/inventory/local
roles_path = {ROOT}/roles
library = {ROOT}/plugins/modules
action_plugins = {ROOT}/plugins/action
module_utils = {ROOT}/plugins/module_utils
deprecation_warnings = false
"""


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=2, help="runs without change, of each kind")
    options = parser.parse_args()
    os.environ["LOCAL_AWS_RDS_SECONDS"] = str(RDS_SECONDS)
    os.environ["LOCAL_AWS_EC2_SECONDS"] = str(EC2_SECONDS)
    aws = LocalAws(
        ROOT / ".cache/bench-provisioning",
        5578,
        {"deployment": "bench"},
    )
    for running in started(aws):
        measure(running, options.repeat)


def measure(aws: LocalAws, repeat: int) -> None:
    """Print both comparisons."""
    _, first = timed(aws, "site.yml")
    print(f"first run, RDS {RDS_SECONDS} s, EC2 {EC2_SECONDS} s: {first:.0f} s", flush=True)
    ours = [timed(aws, "site.yml")[1] for _ in range(repeat)]
    with tempfile.TemporaryDirectory() as directory:
        configuration = Path(directory, "ansible.cfg")
        configuration.write_text(PLAIN)
        os.environ["ANSIBLE_CONFIG"] = str(configuration)
        plain = [timed(aws, "site.yml")[1] for _ in range(repeat)]
        del os.environ["ANSIBLE_CONFIG"]
    # The first run does its own work as well; what it does while it waits costs no time.
    floor = max(RDS_SECONDS, EC2_SECONDS) + min(ours)
    print(f"of the longer chain and a run's own time ({floor:.0f} s): {first / floor:.2f}")
    print(f"no change: ours {min(ours):.0f} s, plain {min(plain):.0f} s")
    print(f"plain / ours: {min(plain) / min(ours):.2f}")
    aws.play("playbooks/destroy.yml", "-e", "confirm=bench", "-e", "purge=true")


def timed(aws: LocalAws, playbook: str) -> tuple[Play, float]:
    """Run a playbook; return what it did and the seconds it took."""
    start = time.perf_counter()
    play = aws.play(playbook)
    assert play.returncode == 0, play.output
    return play, time.perf_counter() - start


if __name__ == "__main__":
    main()
