"""Copy the tables of another MLflow, and compare them; write those of this one to a file.

All tables are written in one transaction, in the order of their foreign keys, and are read again
before it is committed. Identifiers stay as they are, so the tables have to be empty before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlflow_host.settings import setting
from mlflow_host.transfer.locations import Locations, roots
from mlflow_host.transfer.sqlite_copy import Content, DifferentError, batches, content, rows, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine, Table

# Secrets are encrypted with a key of the other server; endpoints, models and guardrails of the
# gateway need them. Jobs and leases belong to processes of the other server.
LEFT_OUT = {
    "budget_policies",
    "endpoint_bindings",
    "endpoint_model_mappings",
    "endpoint_tags",
    "endpoints",
    "guardrail_configs",
    "guardrails",
    "job_locks",
    "jobs",
    "model_definitions",
    "scheduler_leases",
    "secrets",
    "webhook_events",
    "webhooks",
}
LOCATION_COLUMNS = {
    "experiments": ("artifact_location",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
    "runs": ("artifact_uri",),
    "workspaces": ("trace_archival_location",),
}
# The tag of a trace that has its location.
LOCATION_TAG = "mlflow.artifactLocation"
# MLflow adds a row to them when it makes or starts a database.
MADE_BY_MLFLOW = {"experiments": 1, "workspaces": 1}
_SHOWN = 5


@dataclass(frozen=True)
class Plan:
    """What an import would do.

    Attributes
    ----------
    rows
        Number of rows of the other database, by table; tables without rows are left out.
    roots
        Folders that have the artifacts, as the other server named them.
    outside
        The first locations that are below none of them.
    occupied
        Tables of this deployment that have rows, so that nothing is imported.
    imported
        Whether this deployment has the rows already, and no others.
    """

    rows: dict[str, int]
    roots: list[str]
    outside: list[str]
    occupied: list[str]
    imported: bool


def migrate(database: Path) -> None:
    """Bring a file of SQLite to the schema of the installed MLflow.

    Raises
    ------
    ValueError
        If it is of a newer MLflow, or of something else.
    """
    from alembic.util.exc import CommandError
    from mlflow.store.db import utils
    from sqlalchemy import inspect

    engine = _file(database)
    try:
        if not inspect(engine).has_table("alembic_version"):
            raise ValueError("it has no table alembic_version")
        utils._upgrade_db(engine)  # noqa: SLF001
    except CommandError as error:
        raise ValueError(f"it is of a newer MLflow ({error})") from error
    finally:
        engine.dispose()


def make_plan(database: Path, given: list[str]) -> Plan:
    """Compare another database with this one.

    Parameters
    ----------
    database
        File of SQLite with the schema of the installed MLflow.
    given
        Folders of its artifacts; an empty list means those that its experiments are in.
    """
    with _file(database).connect() as source, _server().connect() as target:
        locations = _locations(source, given)
        outside = _outside(source, locations)
        theirs = {table.name: content(_rows(source, table, locations)) for table in _tables()}
        ours = {table.name: content(_rows(target, table)) for table in _tables()}
    return Plan(
        rows={name: found.rows for name, found in theirs.items() if found.rows},
        roots=list(locations.roots),
        outside=outside,
        occupied=[name for name, found in ours.items() if found.rows > MADE_BY_MLFLOW.get(name, 0)],
        imported=ours == theirs,
    )


def copy(database: Path, plan: Plan) -> None:
    """Write all rows of another database to this one, or none.

    Raises
    ------
    ValueError
        If this one has rows of its own, or locations are outside of the roots.
    DifferentError
        If a table does not have afterwards what was written. Then nothing is kept.
    """
    if plan.occupied or plan.outside:
        raise ValueError(f"tables have rows: {plan.occupied}; locations elsewhere: {plan.outside}")
    locations = Locations(tuple(plan.roots))
    with _file(database).connect() as source, _server().begin() as target:
        tables = _tables()
        for table in reversed(tables):
            target.execute(table.delete())
        for table in tables:
            written = Content()
            for batch in batches(_rows(source, table, locations)):
                for row in batch:
                    written = written.add(row.values())
                target.execute(table.insert(), batch)
            if content(_rows(target, table)) != written:
                raise DifferentError(f"Table {table.name} differs from what was written to it.")
            _set_sequences(target, table)


def export(file: Path) -> dict[str, int]:
    """Write all rows of this database to a new file of SQLite; return their number by table.

    Raises
    ------
    FileExistsError
        If there is such a file.
    DifferentError
        If a table of the file does not have what was written to it.
    """
    return write(_server(), file, LEFT_OUT)


def _tables() -> list[Table]:
    """Return the tables that are imported, in the order of their foreign keys."""
    import mlflow.store.model_registry.dbmodels.models
    import mlflow.store.tracking.dbmodels.models  # noqa: F401  both add tables
    from mlflow.store.db.base_sql_model import Base

    return [table for table in Base.metadata.sorted_tables if table.name not in LEFT_OUT]


def _file(database: Path) -> Engine:
    from sqlalchemy import create_engine

    return create_engine(f"sqlite:///{database}")


def _server() -> Engine:
    from sqlalchemy import create_engine

    return create_engine(setting("MLFLOW_BACKEND_STORE_URI"))


def _locations(source: Connection, given: list[str]) -> Locations:
    from sqlalchemy import text

    found = source.execute(text("SELECT experiment_id, artifact_location FROM experiments"))
    return Locations(tuple(given or roots((row[0], row[1] or "") for row in found)))


def _outside(source: Connection, locations: Locations) -> list[str]:
    """Return the first locations that are below none of the roots."""
    found: dict[str, None] = {}
    for table in _tables():
        for row in _rows(source, table):
            for name in _location_columns(table, row):
                if row[name] is not None and locations.moved(row[name]) is None:
                    found[row[name]] = None
            if len(found) >= _SHOWN:
                return list(found)[:_SHOWN]
    return list(found)


def _location_columns(table: Table, row: dict[str, Any]) -> tuple[str, ...]:
    if table.name == "trace_tags" and row["key"] == LOCATION_TAG:
        return ("value",)
    return LOCATION_COLUMNS.get(table.name, ())


def _rows(
    connection: Connection, table: Table, locations: Locations | None = None
) -> Iterator[dict[str, Any]]:
    """Return the rows of a table by column, if asked for with the locations that they will have."""
    # The database computes the others by itself.
    stored = [column.name for column in table.columns if column.computed is None]
    for row in rows(connection, table, stored):
        if locations:
            for name in _location_columns(table, row):
                if row[name] is not None:
                    row[name] = locations.moved(row[name])
        yield row


def _set_sequences(target: Connection, table: Table) -> None:
    """Let the next number of a table be one that no row has."""
    from sqlalchemy import func, select

    for column in table.primary_key:
        sequence = target.scalar(select(func.pg_get_serial_sequence(table.name, column.name)))
        if sequence:
            last = target.scalar(select(func.max(column)))
            target.execute(select(func.setval(sequence, last or 1, last is not None)))
