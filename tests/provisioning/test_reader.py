"""The read-only login of the database on a deployment: created, used, rotated, removed."""

from __future__ import annotations

import json
import re
import shlex
import stat
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from tests.conftest import ROOT, LocalAws, started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

NAME = "reader"
ON = ("-e", "mlflow_database_reader=true")
ROTATE = json.dumps({"aws_secretsmanager_rotate": ["reader-database"]})


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    yield from started(LocalAws(ROOT / ".cache/reader", 5581, {"deployment": NAME}))


def played(aws: LocalAws, playbook: str, *arguments: str) -> str:
    play = aws.play(playbook, *arguments)
    assert play.returncode == 0, play.output
    return play.output


def settings(file: Path) -> dict[str, str]:
    """Read the file as a shell does."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    return dict(shlex.split(line)[0].split("=", 1) for line in lines)


def connect(aws: LocalAws, login: dict[str, str]) -> Any:
    return psycopg2.connect(
        host=aws.door(login["PGHOST"]),
        port=login["PGPORT"],
        dbname=login["PGDATABASE"],
        user=login["PGUSER"],
        password=login["PGPASSWORD"],
        sslmode=login["PGSSLMODE"],
        sslrootcert=login["PGSSLROOTCERT"],
    )


def secrets(aws: LocalAws) -> list[str]:
    found = aws.client("secretsmanager").list_secrets()["SecretList"]
    return [secret["Name"] for secret in found if "reader-database" in secret["Name"]]


def test_reader_is_created_rotated_and_removed(aws: LocalAws) -> None:
    played(aws, "site.yml", *ON)
    file = aws.clone / f".deploy/{NAME}/reader.env"
    login = settings(file)
    with closing(connect(aws, login)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT name FROM experiments")
        assert ("Default",) in cursor.fetchall()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = played(aws, "site.yml", *ON)
    assert not re.search(r"changed=[1-9]", again), again

    played(aws, "playbooks/rotate_keys.yml", *ON, "-e", ROTATE)
    rotated = settings(file)
    assert rotated["PGPASSWORD"] != login["PGPASSWORD"]
    with pytest.raises(psycopg2.OperationalError, match="password"):
        connect(aws, login)
    connect(aws, rotated).close()

    assert secrets(aws) == [f"{NAME}/reader-database"]
    played(aws, "site.yml")
    assert not file.exists()
    assert secrets(aws) == []
    with pytest.raises(psycopg2.OperationalError, match="password"):
        connect(aws, rotated)
    assert not re.search(r"changed=[1-9]", played(aws, "site.yml"))
