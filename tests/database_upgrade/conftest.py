"""A deployment with data on an older PostgreSQL, without function and endpoint."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests import sites
from tests.conftest import BIN, ROOT, LocalAws, Play

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME, COPY = "dbup", "dbupb"
INSTANCE = f"{NAME}-mlflow"
OLD, MINOR, NEW = "17.6", "17.7", "18.1"
PLAYBOOKS = ["preflight", "vpc", "s3", "iam", "secrets", "rds", "ec2", "mlflow"]


@dataclass(frozen=True)
class Site(sites.Site):
    """The deployment whose database is upgraded."""

    def upgrade(self, version: str, *arguments: str) -> Play:
        """Run the playbook under test."""
        return self.play("upgrade_database", version, *arguments)

    def play(self, playbook: str, version: str, *arguments: str) -> Play:
        """Run a playbook with this version in its inventory."""
        return self.aws.play(
            f"playbooks/{playbook}.yml", "-e", f"aws_rds_engine_version={version}", *arguments
        )

    def begin(self, version: str) -> subprocess.Popen[bytes]:
        """Start the playbook under test, in a group of processes of its own."""
        return subprocess.Popen(
            [
                *(BIN / "ansible-playbook", "playbooks/upgrade_database.yml"),
                *self.aws.extra_variables,
                *("-e", f"aws_rds_engine_version={version}"),
            ],
            cwd=self.aws.clone,
            env=self.aws.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def version(self) -> str:
        """The version that RDS reports."""
        (instance,) = self.instances()
        return str(instance["EngineVersion"])

    @property
    def server(self) -> str:
        """The version that PostgreSQL reports."""
        with self.database() as cursor:
            cursor.execute("SHOW server_version")
            return str(cursor.fetchone()[0])

    @property
    def groups(self) -> list[str]:
        """The parameter groups of the deployment."""
        found = self.aws.client("rds").describe_db_parameter_groups()["DBParameterGroups"]
        names = (one["DBParameterGroupName"] for one in found)
        return sorted(name for name in names if name.startswith(f"{INSTANCE}-"))

    def upgrades(self) -> list[dict[str, Any]]:
        """The snapshots of upgrades of the database, the newest first."""
        label = {"Key": "Purpose", "Value": "database-upgrade"}
        return [one for one in self.snapshots() if label in one["TagList"]]

    def wait(self, status: str) -> None:
        """Wait until RDS reports this status of the only instance."""
        deadline = time.monotonic() + 120
        while [one["DBInstanceStatus"] for one in self.instances()] != [status]:
            assert time.monotonic() < deadline, self.instances()
            time.sleep(0.2)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The deployment, with data; nothing is left of it afterwards."""
    made = Site(
        LocalAws(
            ROOT / ".cache/database_upgrade",
            5592,
            {"deployment": NAME, "monitoring_enabled": False},
        ),
        NAME,
    )
    start = made.aws.command("start")
    assert start.returncode == 0, start.stdout + start.stderr
    try:
        for name in (NAME, COPY):
            made.aws.allow_deployment(name)
        with made.aws.among_neighbours():
            for name in PLAYBOOKS:
                play = made.play(name, OLD)
                assert play.returncode == 0, play.output
            sites.fill(made)
            yield made
    finally:
        stop = made.aws.command("stop")
        for name in (NAME, COPY):
            subprocess.run(["rm", "-rf", ROOT / ".deploy" / name], check=True)
    assert stop.returncode == 0, stop.stdout + stop.stderr
