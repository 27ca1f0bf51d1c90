"""An older release with data, on a deployment of its own without function and endpoint."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests import sites
from tests.conftest import ROOT, LocalAws, Play

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "upgrade"
OLD, NEW = "3.14.0", "3.17.2"
PLAYBOOKS = ["preflight", "vpc", "s3", "iam", "secrets", "rds", "ec2", "mlflow"]
# What the account may hold; fewer than AWS's 100, so that a test can reach it. Each upgrade that
# fails keeps one, until one is successful, and neighbours have one.
SNAPSHOTS = 6


@dataclass(frozen=True)
class Site(sites.Site):
    """The deployment that is upgraded."""

    def upgrade(self, version: str = NEW, *arguments: str) -> Play:
        """Run the playbook under test."""
        return self.aws.play("playbooks/upgrade.yml", "-e", f"mlflow_version={version}", *arguments)

    def run_mlflow(self, version: str) -> Play:
        """Run the part of site.yml that installs and configures MLflow."""
        return self.aws.play("playbooks/mlflow.yml", "-e", f"mlflow_version={version}")


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The older release, with data; nothing is left of it afterwards."""
    made = Site(
        LocalAws(
            ROOT / ".cache/upgrade",
            5576,
            {"deployment": NAME, "aws_rds_monitoring_seconds": 60, "monitoring_enabled": False},
        ),
        NAME,
    )
    os.environ["MOTO_RDS_SNAPSHOT_LIMIT"] = str(SNAPSHOTS)
    start = made.aws.command("start")
    del os.environ["MOTO_RDS_SNAPSHOT_LIMIT"]
    assert start.returncode == 0, start.stdout + start.stderr
    try:
        with made.aws.among_neighbours():
            for name in PLAYBOOKS:
                play = made.aws.play(
                    f"playbooks/{name}.yml",
                    *("-e", f"mlflow_version={OLD}", "-e", "mlflow_allow_old=true"),
                )
                assert play.returncode == 0, play.output
            assert made.running == OLD
            sites.fill(made)
            yield made
    finally:
        stop = made.aws.command("stop")
        subprocess.run(["rm", "-rf", made.directory], check=True)
    assert stop.returncode == 0, stop.stdout + stop.stderr
