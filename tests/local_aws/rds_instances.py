"""DB instances for the tests of local AWS's RDS."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg2

if TYPE_CHECKING:
    from tests.conftest import LocalAws

PASSWORD = "S3cret-pass'word"
SECONDS = 60.0


class Database:
    """The instance under test."""

    name = "metadata"

    def __init__(self, aws: LocalAws) -> None:
        self.aws = aws
        self.client = aws.client("rds")

    def describe(self) -> dict[str, Any]:
        answer = self.client.describe_db_instances(DBInstanceIdentifier=self.name)
        found: dict[str, Any] = answer["DBInstances"][0]
        return found

    def wait(self, status: str) -> dict[str, Any]:
        deadline = time.monotonic() + SECONDS
        while (found := self.describe())["DBInstanceStatus"] != status:
            assert found["DBInstanceStatus"] != "failed"
            assert time.monotonic() < deadline, found["DBInstanceStatus"]
            time.sleep(0.1)
        return found

    def connect(
        self,
        password: str = PASSWORD,
        user: str = "master",
        mode: str = "verify-full",
        database: str = "first",
    ) -> Any:
        endpoint = self.describe()["Endpoint"]
        return psycopg2.connect(
            host=self.aws.door(endpoint["Address"], endpoint["Port"]),
            port=endpoint["Port"],
            user=user,
            password=password,
            dbname=database,
            sslmode=mode,
            sslrootcert=str(self.aws.directory / "rds-ca.pem"),
            connect_timeout=5,
        )

    def ask(self, question: str, **how: Any) -> Any:
        with self.connect(**how) as connection, connection.cursor() as cursor:
            cursor.execute(question)
            return cursor.fetchall() if cursor.description else None

    def delete(self) -> None:
        self.client.delete_db_instance(DBInstanceIdentifier=self.name, SkipFinalSnapshot=True)
        self.client.get_waiter("db_instance_deleted").wait(
            DBInstanceIdentifier=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
