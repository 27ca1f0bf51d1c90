"""A file of SQLite that is imported answers as it did before."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import other_mlflow
from tests.tracking_server import VERSION, deployed_server

from .conftest import LOGIN

if TYPE_CHECKING:
    from .conftest import Target

# Columns that name a place, and those that do not though they look like it.
LOCATIONS = {
    *(("experiments", "artifact_location"), ("logged_models", "artifact_location")),
    *(("model_versions", "source"), ("model_versions", "storage_location")),
    *(("runs", "artifact_uri"), ("workspaces", "trace_archival_location")),
}
NO_LOCATIONS = {"evaluation_dataset_records", "mcp_access_endpoints", "mcp_server_versions"}


@pytest.fixture(scope="module")
def filled(version: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a filled file of SQLite, and artifacts in mlruns."""
    folder = tmp_path_factory.mktemp("other")
    other_mlflow.fill(folder, version)
    return folder


@pytest.fixture
def database(filled: Path, tmp_path: Path) -> Path:
    """A copy of the file, because an import migrates it."""
    return Path(shutil.copy(filled / "mlflow.db", tmp_path / "copy.db"))


def test_import_answers_as_the_other_server(target: Target, filled: Path, database: Path) -> None:
    plan = target.run("import-plan", database)
    assert (plan["roots"], plan["outside"], plan["occupied"]) == ([f"{filled}/mlruns"], [], [])
    assert plan["rows"]["experiments"] == 3
    assert plan["rows"]["metrics"] == 16

    target.run("import", database)

    theirs = other_mlflow.read(f"sqlite:///{database}", target.folder, VERSION)
    assert f"{filled}/mlruns" in theirs
    (target.folder / "again").mkdir()
    with deployed_server(
        target.cluster, target.name, target.folder / "again", mlflow_workers=1
    ) as server:
        ours = other_mlflow.read(server.url, target.folder, VERSION, **LOGIN)
        # Numbers go on after those that were imported.
        answer = server.session().post(
            f"{server.url}/api/2.0/mlflow/experiments/create", json={"name": "new"}
        )
        assert answer.json() == {"experiment_id": "3"}
    assert json.loads(ours) == json.loads(theirs.replace(f"{filled}/mlruns", "mlflow-artifacts:"))


@pytest.mark.slow
def test_import_again_changes_nothing(target: Target, database: Path) -> None:
    target.run("import", database)
    before = target.rows()
    assert target.run("import-plan", database)["imported"]
    target.run("import", database)
    assert target.rows() == before


@pytest.mark.slow
def test_import_into_tables_with_rows_is_refused(target: Target, database: Path) -> None:
    target.cluster.execute(
        "INSERT INTO experiments (name, lifecycle_stage, workspace)"
        " VALUES ('one', 'active', 'default'), ('two', 'active', 'default')",
        target.name,
    )
    before = target.rows()
    assert target.run("import-plan", database)["occupied"] == ["experiments"]
    with pytest.raises(RuntimeError, match=r"tables have rows: \['experiments'\]"):
        target.run("import", database)
    assert target.rows() == before


@pytest.mark.slow
def test_import_of_locations_elsewhere_is_refused(target: Target, database: Path) -> None:
    plan = target.run("import-plan", database, "--root=/elsewhere")
    assert len(plan["outside"]) == 5
    before = target.rows()
    with pytest.raises(RuntimeError, match="locations elsewhere"):
        target.run("import", database, "--root=/elsewhere")
    assert target.rows() == before


@pytest.mark.slow
def test_import_that_fails_leaves_the_rows_that_were_there(target: Target, database: Path) -> None:
    target.cluster.execute(
        "CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.value := 'other'; RETURN NEW; END $$;"
        "CREATE TRIGGER change BEFORE INSERT ON tags FOR EACH ROW EXECUTE FUNCTION change()",
        target.name,
    )
    before = target.rows()
    with pytest.raises(RuntimeError, match="Table tags differs from what was written"):
        target.run("import", database)
    assert target.rows() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE alembic_version SET version_num = 'fedcba987654'", "it is of a newer MLflow"),
        ("DROP TABLE alembic_version", "it has no table alembic_version"),
        ("", "file is not a database"),
    ],
)
def test_import_of_a_file_that_is_not_known_is_refused(
    target: Target, database: Path, statement: str, reason: str
) -> None:
    if statement:
        with closing(sqlite3.connect(database)) as file:
            file.execute(statement)
            file.commit()
    else:
        database.write_text("text")
    with pytest.raises(RuntimeError, match=reason):
        target.run("import-plan", database)


def test_columns_with_locations_are_known(target: Target) -> None:
    # A new one of another MLflow has to be moved, or named here.
    columns = set(
        target.cluster.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE"
            " table_schema = 'public' AND column_name ~ '(location|uri|path|^source)$'",
            target.name,
        )
    )
    assert {one for one in columns if one[0] not in NO_LOCATIONS} == LOCATIONS
