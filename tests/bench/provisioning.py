"""How long the playbooks take: a first run on slow machines, and a run that changes nothing.

Local AWS is set to take 120 s for a database and 60 s for a host. The first run is compared with:

- what no order of tasks could beat: the longer of the two chains, which is the database's, and what
  comes after it;
- the same cloud resources created by bare boto3 calls, without a host that is set up.

The run without changes is compared with:

- the same tasks under Ansible's own settings;
- bare calls that ask for each resource once.

It takes a quarter of an hour, on ports and addresses of its own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.bare_calls import BareCalls
from tests.conftest import ROOT, LocalAws, started

if TYPE_CHECKING:
    from collections.abc import Callable

RDS_SECONDS, EC2_SECONDS = 120, 60
# Where things are; all else as Ansible has it.
PLAIN = f"""[defaults]
inventory = {ROOT}/inventory/local
roles_path = {ROOT}/roles
collections_path = {ROOT}/collections
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
        {"deployment": "bench", "monitoring_enabled": False},
    )
    for running in started(aws):
        measure(running, options.repeat)


def measure(aws: LocalAws, repeat: int) -> None:
    """Print the comparisons."""
    bare = BareCalls(aws, "bare")
    bare_first = timed(bare.create)
    bare_look = min(timed(bare.look) for _ in range(repeat))
    bare.delete()
    print(f"bare calls: first {bare_first:.0f} s, look {bare_look:.2f} s", flush=True)

    first = timed(lambda: play(aws))
    print(f"first run, RDS {RDS_SECONDS} s, EC2 {EC2_SECONDS} s: {first:.0f} s", flush=True)
    print(f"of the bare calls: {first / bare_first:.2f}")
    ours = min(timed(lambda: play(aws)) for _ in range(repeat))
    # The first run does its own work as well; what it does while it waits costs no time.
    floor = max(RDS_SECONDS, EC2_SECONDS) + ours
    print(f"of the longer chain and a run's own time ({floor:.0f} s): {first / floor:.2f}")

    with tempfile.TemporaryDirectory() as directory:
        configuration = Path(directory, "ansible.cfg")
        configuration.write_text(PLAIN)
        # LocalAws ignores the variable of its caller, but not its own.
        settings = {**aws.settings, "ANSIBLE_CONFIG": str(configuration)}
        theirs = replace(aws, settings=settings)
        plain = min(timed(lambda: play(theirs)) for _ in range(repeat))
    print(f"no change: ours {ours:.0f} s, plain {plain:.0f} s")
    print(f"plain / ours: {plain / ours:.2f}")
    print(f"ours / bare calls that look: {ours / bare_look:.0f}")
    aws.play("playbooks/destroy.yml", "-e", "confirm=bench", "-e", "purge=true")


def timed(run: Callable[[], None]) -> float:
    """Return the seconds that it takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def play(aws: LocalAws) -> None:
    """Run the whole site, which has to end well."""
    site = aws.play("site.yml")
    assert site.returncode == 0, site.output


if __name__ == "__main__":
    main()
