"""The read-only login of the database on a deployment: created, used, rotated, removed."""

from __future__ import annotations

import json
import re
import shlex
import stat
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
import requests

from tests.conftest import ROOT, LocalAws, started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

NAME = "reader"
TIME = 1_760_000_000_000  # milliseconds since 1970
ON = ("-e", "mlflow_database_reader=true")
ROTATE = json.dumps({"aws_secretsmanager_rotate": ["reader-database"]})


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    yield from started(
        LocalAws(ROOT / ".cache/reader", 5581, {"deployment": NAME, "monitoring_enabled": False})
    )


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


def has_password(aws: LocalAws) -> bool:
    """Return whether the password is in Secrets Manager, and not scheduled for deletion."""
    client = aws.client("secretsmanager")
    try:
        found = client.describe_secret(SecretId=f"{NAME}/reader-database")
    except client.exceptions.ResourceNotFoundException:
        return False
    return "DeletedDate" not in found


@pytest.fixture(scope="module")
def reader(aws: LocalAws) -> Path:
    """A deployment with the login; the file of its clients."""
    played(aws, "site.yml", *ON)
    return aws.clone / f".deploy/{NAME}/reader.env"


def logged(aws: LocalAws) -> str:
    """Log three values in the same millisecond; return the run."""
    client = settings(aws.clone / f".deploy/{NAME}/mlflow.env")

    def call(what: str, **body: Any) -> Any:
        answer = requests.post(
            f"{client['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/{what}",
            json=body,
            auth=(client["MLFLOW_TRACKING_USERNAME"], client["MLFLOW_TRACKING_PASSWORD"]),
            verify=client["MLFLOW_TRACKING_SERVER_CERT_PATH"],
            timeout=30,
        )
        answer.raise_for_status()
        return answer.json()

    run_id: str = call("runs/create", experiment_id="0", start_time=TIME)["run"]["info"]["run_id"]
    metrics = [
        {"key": "loss", "value": step / 2, "timestamp": TIME, "step": step} for step in range(3)
    ]
    call("runs/log-batch", run_id=run_id, metrics=metrics)
    return run_id


@pytest.mark.usefixtures("reader")
def test_backfill_writes_blocks_of_the_values(aws: LocalAws, tmp_path: Path) -> None:
    run_id = logged(aws)
    which = json.dumps({"backfill_experiments": ["Default"], "backfill_directory": str(tmp_path)})

    refused = aws.play("playbooks/backfill.yml", *ON)
    played(aws, "playbooks/backfill.yml", *ON, "-e", which, "--check")
    first = played(aws, "playbooks/backfill.yml", *ON, "-e", which)
    second = played(aws, "playbooks/backfill.yml", *ON, "-e", which)

    blocks = tmp_path / "openmetrics/blocks"
    (blocks / "wal").mkdir()
    dumped = subprocess.run(
        ["promtool", "tsdb", "dump", blocks], check=True, capture_output=True, text=True
    ).stdout
    assert "backfill_experiments: [] is not a valid list" in refused.output
    assert "1 blocks, 1 new" in first
    assert "1 blocks, 0 new" in second
    assert not re.search(r"localhost +: .*changed=[1-9]", second)
    assert re.findall(rf'run_id="{run_id}"\}} (\S+) (\d+)', dumped) == [
        (value, str(TIME + step)) for step, value in enumerate(["0", "0.5", "1"])
    ]


def test_reader_is_created_once(aws: LocalAws, reader: Path) -> None:
    with closing(connect(aws, settings(reader))) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT name FROM experiments")
        assert ("Default",) in cursor.fetchall()
    assert stat.S_IMODE(reader.stat().st_mode) == 0o600
    assert has_password(aws)

    again = played(aws, "site.yml", *ON)

    assert not re.search(r"changed=[1-9]", again), again


def test_password_is_rotated(aws: LocalAws, reader: Path) -> None:
    login = settings(reader)

    played(aws, "playbooks/rotate_keys.yml", *ON, "-e", ROTATE)

    rotated = settings(reader)
    assert rotated["PGPASSWORD"] != login["PGPASSWORD"]
    with pytest.raises(psycopg2.OperationalError, match="password"):
        connect(aws, login)
    connect(aws, rotated).close()


def test_reader_is_removed(aws: LocalAws, reader: Path) -> None:
    login = settings(reader)

    played(aws, "site.yml")

    assert not reader.exists()
    assert not has_password(aws)
    with pytest.raises(psycopg2.OperationalError, match="password"):
        connect(aws, login)
