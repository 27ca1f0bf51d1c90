"""A file that is exported answers as the server, with MLflow as it is."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests import other_mlflow
from tests.tracking_server import VERSION, deployed_server, installed

from .conftest import LOGIN, Target

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Cluster


@pytest.fixture(scope="module")
def answers(
    cluster: Cluster, version: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Target, str]:
    """A deployment of each release with runs, and what its server answered."""
    name = f"full_{version.replace('.', '_')}"
    folder = tmp_path_factory.mktemp("full")
    cluster.execute(f"CREATE DATABASE {name}")
    (folder / "server").mkdir()
    with deployed_server(
        cluster, name, folder / "server", version=version, mlflow_workers=1
    ) as server:
        other_mlflow.log(server.url, folder, version, **LOGIN)
        read = other_mlflow.read(server.url, folder, version, **LOGIN)
    (folder / "host").mkdir()
    host = installed(cluster, name, folder / "host", version=version)
    return Target(cluster, name, host, folder), read


def test_mlflow_reads_an_export_as_the_server_answered(
    answers: tuple[Target, str], version: str, tmp_path: Path
) -> None:
    full, read = answers
    file = tmp_path / "mlflow.db"
    counts = full.run("export", file)

    assert counts["experiments"] == 3
    assert counts["metrics"] == 16
    theirs = other_mlflow.read(f"sqlite:///{file}", tmp_path, version)
    assert json.loads(theirs) == json.loads(read)
    with closing(sqlite3.connect(file)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        # Logins are of this deployment, and secrets are encrypted with its key.
        assert not tables & {"users", "experiment_permissions"}
        assert database.execute("SELECT count(*) FROM webhooks").fetchone() == (0,)


def test_export_does_not_replace_a_file(answers: tuple[Target, str], tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    file.write_text("of a user")
    with pytest.raises(RuntimeError, match="File exists"):
        answers[0].run("export", file)
    assert file.read_text() == "of a user"


@pytest.mark.slow
def test_import_of_an_export_has_the_same_rows(
    answers: tuple[Target, str], target: Target, version: str, tmp_path: Path
) -> None:
    full, _ = answers
    counts = full.run("export", tmp_path / "mlflow.db")
    target.run("import", tmp_path / "mlflow.db")
    if version == VERSION:
        ours, theirs = target.rows(), full.rows()
        assert {table: len(ours[table]) for table in counts} == counts
        assert {table: ours[table] for table in counts} == {
            table: theirs[table] for table in counts
        }
