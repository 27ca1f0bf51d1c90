"""A whole deployment whose life is lived through, and a hand that changes it behind its back."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from tests.conftest import ROOT, LocalAws, started

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "life"


@dataclass(frozen=True)
class Hand:
    """Someone with all rights who does not use the playbooks."""

    aws: LocalAws

    def only(self, service: str, operation: str, key: str, **arguments: Any) -> dict[str, Any]:
        """Return the one thing that an operation lists."""
        [found] = getattr(self.aws.client(service), operation)(**arguments)[key]
        return dict(found)

    def ours(self, operation: str, key: str, **tags: str) -> dict[str, Any]:
        """Return the one thing that EC2 has with the deployment's tag, and these others."""
        wanted = {"Deployment": NAME, **tags}
        filters = [{"Name": f"tag:{tag}", "Values": [value]} for tag, value in wanted.items()]
        return self.only("ec2", operation, key, Filters=filters)

    def named(self, operation: str, key: str, name: str) -> dict[str, Any]:
        """Return what EC2 has under that name of the deployment."""
        return self.ours(operation, key, Name=f"{NAME}-{name}")

    @property
    def instance(self) -> dict[str, Any]:
        """The host."""
        filters = [{"Name": "instance-state-name", "Values": ["running", "stopping", "stopped"]}]
        reservation = self.only("ec2", "describe_instances", "Reservations", Filters=filters)
        [instance] = reservation["Instances"]
        return dict(instance)

    @property
    def database(self) -> dict[str, Any]:
        """The database instance."""
        return self.only(
            "rds", "describe_db_instances", "DBInstances", DBInstanceIdentifier=f"{NAME}-mlflow"
        )

    @property
    def snapshots(self) -> list[dict[str, Any]]:
        """Snapshots of the database instance that were asked for."""
        found: list[dict[str, Any]] = self.aws.client("rds").describe_db_snapshots(
            DBInstanceIdentifier=f"{NAME}-mlflow", SnapshotType="manual"
        )["DBSnapshots"]
        return found

    def modify_database(self, **changes: Any) -> None:
        """Change the database instance, and wait until RDS has done so."""
        rds, name = self.aws.client("rds"), self.database["DBInstanceIdentifier"]
        rds.modify_db_instance(DBInstanceIdentifier=name, ApplyImmediately=True, **changes)
        rds.get_waiter("db_instance_available").wait(
            DBInstanceIdentifier=name, WaiterConfig={"Delay": 1}
        )

    def update_function(self, operation: str, name: str, **changes: Any) -> None:
        """Change the function, while no other change is in progress."""
        client = self.aws.client("lambda")
        updated = client.get_waiter("function_updated_v2")
        for _ in range(2):
            updated.wait(FunctionName=name, WaiterConfig={"Delay": 1})
            try:
                getattr(client, operation)(FunctionName=name, **changes)
            except client.exceptions.ResourceConflictException:
                # botocore had repeated a call whose answer it did not get.
                continue
            break
        updated.wait(FunctionName=name, WaiterConfig={"Delay": 1})

    @property
    def bucket(self) -> str:
        """The bucket of the artifacts."""
        return str(self.only("s3", "list_buckets", "Buckets", Prefix=f"{NAME}-mlflow-")["Name"])

    @property
    def address(self) -> str:
        """The address of the host."""
        return str(self.ours("describe_addresses", "Addresses")["PublicIp"])

    def execute(self, *statements: str) -> None:
        """Say something to the database as its owner, and as the master user before that."""
        secrets = self.aws.client("secretsmanager")
        for user, secret in [("mlflow_master", "database-master"), ("mlflow", "mlflow-database")]:
            connection = psycopg2.connect(
                host=self.aws.door(self.database["Endpoint"]["Address"]),
                port=self.database["Endpoint"]["Port"],
                dbname="mlflow",
                user=user,
                password=secrets.get_secret_value(SecretId=f"{NAME}/{secret}")["SecretString"],
                sslmode="require",
            )
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    by, _, words = statement.partition(": ")
                    if by == user:
                        cursor.execute(words)
            connection.close()

    def ssh(self, command: str) -> str:
        """Run a command on the host as root."""
        result = subprocess.run(
            [
                *("ssh", "-i", ROOT / ".deploy" / NAME / "id_ed25519"),
                *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
                *("-o", "LogLevel=ERROR", f"admin@{self.address}"),
                f"sudo sh -c '{command}'",
            ],
            text=True,
            capture_output=True,
            check=True,
        )
        return result.stdout


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAws]:
    # What an interrupted run has left on this machine would be found and not planned.
    shutil.rmtree(ROOT / ".deploy" / NAME, ignore_errors=True)
    yield from started(
        LocalAws(
            ROOT / ".cache/life",
            5577,
            {"deployment": NAME, "aws_rds_monitoring_seconds": 60, "monitoring_enabled": False},
        )
    )


@pytest.fixture(scope="session")
def hand(aws: LocalAws) -> Hand:
    return Hand(aws)
