"""A database of MLflow 2 on PostgreSQL, as others run it, becomes a file of SQLite."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests import other_mlflow
from tests.conftest import ROOT
from tests.other_mlflow import OLD
from tests.tracking_server import VERSION, deployed_server

from .conftest import LOGIN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Cluster

    from .conftest import Target

pytestmark = pytest.mark.slow

PROGRAM = ROOT / "server/mlflow_host/transfer/sqlite_copy.py"


@pytest.fixture(scope="module")
def address(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a database that MLflow 2 has filled."""
    cluster.execute("CREATE DATABASE others")
    found = cluster.url("others")
    other_mlflow.log(found, tmp_path_factory.mktemp("others"), OLD)
    return found


def copy(address: str, file: Path) -> subprocess.CompletedProcess[str]:
    """Run the program as the other server's administrator would."""
    return subprocess.run(
        [other_mlflow.python(OLD), PROGRAM, file],
        env=os.environ | {"MLFLOW_BACKEND_STORE_URI": address},
        capture_output=True,
        text=True,
        check=False,
    )


def test_copy_answers_as_the_database(address: str, tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    done = copy(address, file)
    assert done.returncode == 0, done.stderr
    assert "3 experiments" in done.stdout
    assert file.stat().st_mode & 0o777 == 0o600

    theirs = json.loads(other_mlflow.read(address, tmp_path, OLD))
    assert len(theirs["runs"]) == 3
    assert json.loads(other_mlflow.read(f"sqlite:///{file}", tmp_path, OLD)) == theirs


def test_import_of_a_copy_answers_as_the_other_server(
    address: str, target: Target, tmp_path: Path
) -> None:
    file = tmp_path / "mlflow.db"
    assert copy(address, file).returncode == 0
    plan = target.run("import-plan", file)
    assert (plan["outside"], plan["occupied"]) == ([], [])
    target.run("import", file)

    # The plan has migrated the file.
    theirs = json.loads(other_mlflow.read(f"sqlite:///{file}", tmp_path, VERSION))
    assert len(theirs["runs"]) == 3
    (tmp_path / "again").mkdir()
    with deployed_server(
        target.cluster, target.name, tmp_path / "again", mlflow_workers=1
    ) as server:
        ours = other_mlflow.read(server.url, tmp_path, VERSION, **LOGIN)
    (root,) = plan["roots"]
    text = json.dumps(theirs).replace(root, "mlflow-artifacts:")
    assert json.loads(ours) == json.loads(text)


def test_file_that_exists_stays(address: str, tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    file.write_text("of a user")
    done = copy(address, file)
    assert done.returncode != 0
    assert "was not written" in done.stderr
    assert file.read_text() == "of a user"


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE alembic_version SET version_num = 'fedcba987654'", "it is of a newer MLflow"),
        ("DROP TABLE alembic_version", "it has no table alembic_version"),
    ],
)
def test_database_that_is_not_known_leaves_no_file(
    address: str, cluster: Cluster, tmp_path: Path, statement: str, reason: str
) -> None:
    assert address
    cluster.execute("DROP DATABASE IF EXISTS unknown")
    cluster.execute("CREATE DATABASE unknown TEMPLATE others")
    cluster.execute(statement, "unknown")
    done = copy(cluster.url("unknown"), tmp_path / "mlflow.db")
    assert done.returncode != 0
    assert reason in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_database_that_does_not_answer_leaves_no_file(tmp_path: Path) -> None:
    done = copy("postgresql://mlflow:hidden@127.0.0.1:1/mlflow", tmp_path / "mlflow.db")
    assert done.returncode != 0
    assert "mlflow.db was not written" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hidden" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["", "sqlite:///mlflow.db"])
def test_address_that_is_none_is_refused(address: str, tmp_path: Path) -> None:
    done = copy(address, tmp_path / "mlflow.db")
    assert done.returncode != 0
    assert "MLFLOW_BACKEND_STORE_URI: " in done.stderr
    assert list(tmp_path.iterdir()) == []
