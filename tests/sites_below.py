"""A deployment whose hosts and database can be reached from below, past its network."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_aws.machine.podman import Podman
from local_aws.settings import Settings
from tests import sites
from tests.load.client import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

POLL = 0.1
# The file system of the database, which can be full without this machine being so.
DATABASE_MIB = 1024
SERVER = "mlflow.service"
PROXY = "caddy.service"


@dataclass(frozen=True)
class Site(sites.Site):
    """The deployment under test."""

    @property
    def settings(self) -> Settings:
        """The settings of its local AWS."""
        return Settings(data_dir=self.aws.directory, port=self.aws.port)

    @property
    def podman(self) -> Podman:
        """podman, as local AWS calls it."""
        return Podman(self.settings)

    @property
    def target(self) -> Target:
        """The tracking server for a client."""
        return Target(
            f"https://{self.address}:5000",
            "admin",
            self.secret("mlflow-admin"),
            f"{self.directory}/ca.pem",
        )

    # The host.

    @property
    def instance(self) -> str:
        """The id of the host."""
        filters = [
            {"Name": "tag:Deployment", "Values": [self.name]},
            {"Name": "instance-state-name", "Values": ["pending", "running"]},
        ]
        found = self.aws.client("ec2").describe_instances(Filters=filters)["Reservations"]
        [instance] = [one for reservation in found for one in reservation["Instances"]]
        return str(instance["InstanceId"])

    def host(self, script: str, check: bool = True) -> str:  # noqa: FBT001, FBT002
        """Run a script as root on the host, past its network."""
        done = self.podman.run("exec", self.instance, "sh", "-euc", script, check=check)
        return done.stdout.strip()

    def process_of(self, container: str) -> int:
        """Return the first process of a container, as this machine counts; 0 if it has none."""
        shown = self.podman.run("container", "inspect", "--format={{.State.Pid}}", container)
        return int(shown.stdout)

    # The database.

    @property
    def database_container(self) -> str:
        """The name of the database's container."""
        label = f"label={self.podman.label}"
        found = self.podman.run("ps", "--all", "--filter", label, "--format={{.Names}}").stdout
        [name] = [name for name in found.split() if name.startswith(f"rds-{self.name}-mlflow-")]
        return name

    @property
    def database_process(self) -> int:
        """PostgreSQL's first process, as this machine counts; 0 if it has ended."""
        return self.process_of(self.database_container)

    @property
    def database_folder(self) -> Path:
        """The folder with all of the database instance."""
        [instance] = self.instances()
        return self.settings.rds_dir / str(instance["DbiResourceId"])

    @property
    def database_address(self) -> str:
        """The private address of the database."""
        [instance] = self.instances()
        return str(instance["Endpoint"]["Address"])

    def sql(self, statement: str) -> str:
        """Run a statement as the superuser, past the database's network."""
        # The default folder of a psql is the one it was built with; RDS's servers use this one.
        command = (
            *("psql", "-qAtX", "--host=/run/postgresql"),
            *("--username=rdsadmin", "--dbname=mlflow", "-c", statement),
        )
        return self.podman.run(
            "exec", "--user=postgres", self.database_container, *command
        ).stdout.strip()

    def wait_for_database(self, status: str) -> None:
        """Wait until RDS says so."""
        wait_until(lambda: [one["DBInstanceStatus"] for one in self.instances()] == [status], 120)

    @contextlib.contextmanager
    def small_database_disk(self) -> Iterator[None]:
        """Give the database a file system of its own for the time of the context."""
        rds, name = self.aws.client("rds"), f"{self.name}-mlflow"
        data = self.database_folder / "data"
        rds.stop_db_instance(DBInstanceIdentifier=name)
        self.wait_for_database("stopped")
        kept = data.with_name("kept")
        data.rename(kept)
        data.mkdir(mode=0o700)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DATABASE_MIB}m", "tmpfs", str(data)]
        subprocess.run(mount, check=True)
        try:
            subprocess.run(["cp", "--archive", f"{kept}/.", str(data)], check=True)
            shutil.rmtree(kept)
            rds.start_db_instance(DBInstanceIdentifier=name)
            self.wait_for_database("available")
            yield
        finally:
            # The data is removed with the deployment; an interrupted test has it mounted still.
            self.podman.run("rm", "--force", "--time=0", "--ignore", self.database_container)
            subprocess.run(["umount", "--lazy", str(data)], check=True)


def in_network(process: int, *command: str, script: str | None = None) -> str:
    """Run a program of this machine in the network of a process."""
    done = subprocess.run(
        ["nsenter", f"--target={process}", "--net", *command],
        input=script,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, f"{command} {script}: {done.stderr}"
    return done.stdout


def wait_until(condition: Callable[[], Any], seconds: float) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not after {seconds:.0f} s"
        time.sleep(POLL)
