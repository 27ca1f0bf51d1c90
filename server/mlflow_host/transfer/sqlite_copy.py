"""Copy the database of an MLflow to a new file of SQLite, with the same schema.

It imports nothing of its package, so that it runs with the Python of another MLflow as well:

    MLFLOW_BACKEND_STORE_URI=postgresql://user@host/mlflow python sqlite_copy.py mlflow.db

The address comes from the environment, because all users of a host can read a command line.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sqlalchemy import Connection, Engine, Table

ROWS = 1000
VARIABLE = "MLFLOW_BACKEND_STORE_URI"


@dataclass(frozen=True)
class Content:
    """How many rows a table has, and the sum of their hashes, whatever their order."""

    rows: int = 0
    digest: int = 0

    def add(self, row: Iterable[Any]) -> Content:
        """Return the content with one more row."""
        text = json.dumps(list(row), sort_keys=True, default=str)
        number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
        return replace(self, rows=self.rows + 1, digest=(self.digest + number) % 2**256)


class DifferentError(Exception):
    """A table does not have what was written to it."""


def content(rows: Iterable[dict[str, Any]]) -> Content:
    """Return the content of rows by column."""
    found = Content()
    for row in rows:
        found = found.add(row.values())
    return found


def write(source: Engine, file: Path, left_out: Collection[str] = ()) -> dict[str, int]:
    """Write all rows of a database, as they are at one time, to a new file; return their number.

    Parameters
    ----------
    source
        The database of an MLflow, of the installed version or an older one.
    file
        File of SQLite, which does not exist.
    left_out
        Tables that stay empty.

    Returns
    -------
    dict
        Number of rows by table; tables without rows are left out.

    Raises
    ------
    FileExistsError
        If there is such a file.
    ValueError
        If the database is not one of MLflow.
    DifferentError
        If a table of the file does not have what was written to it.
    """
    from sqlalchemy import create_engine

    # A new file, which only its owner reads.
    os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    target_engine = create_engine(f"sqlite:///{file}")
    # All tables as they are when the first one is read.
    frozen = source.execution_options(isolation_level="REPEATABLE READ")
    try:
        with frozen.connect() as connection:
            _create(target_engine, _revision(connection))
            with target_engine.begin() as target:
                return _copy(connection, target, left_out)
    except BaseException:
        file.unlink()
        raise
    finally:
        target_engine.dispose()


def _revision(source: Connection) -> str:
    """Return the revision of a schema, as alembic names it."""
    from alembic.runtime.migration import MigrationContext

    revision: str | None = MigrationContext.configure(source).get_current_revision()
    if revision is None:
        raise ValueError("it has no table alembic_version")
    return revision


def _create(engine: Engine, revision: str) -> None:
    """Give a file the tables of a revision, by MLflow's own migrations."""
    from alembic import command
    from alembic.util.exc import CommandError
    from mlflow.store.db import utils
    from mlflow.store.tracking.dbmodels import initial_models

    initial_models.Base.metadata.create_all(engine)
    config = utils._get_alembic_config(str(engine.url))  # noqa: SLF001  MLflow has no public one
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    except CommandError as error:
        raise ValueError(f"it is of a newer MLflow ({error})") from error


def _copy(source: Connection, target: Connection, left_out: Collection[str]) -> dict[str, int]:
    from sqlalchemy import MetaData

    created, theirs = MetaData(), MetaData()
    created.reflect(target)
    theirs.reflect(source, only=list(created.tables))
    counts = {}
    for name, table in created.tables.items():
        if name == "alembic_version":
            continue
        # Migrations write rows of their own, such as the first workspace.
        target.execute(table.delete())
        if name in left_out:
            continue
        columns = [column.name for column in table.columns if column.computed is None]
        written = Content()
        for batch in batches(rows(source, theirs.tables[name], columns)):
            for row in batch:
                written = written.add(row.values())
            target.execute(table.insert(), batch)
        if content(rows(target, table, columns)) != written:
            raise DifferentError(f"Table {name} differs from what was written to it.")
        if written.rows:
            counts[name] = written.rows
    return counts


def rows(connection: Connection, table: Table, columns: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table by column; they are not all in memory at once."""
    from sqlalchemy import select

    chosen = select(*(table.columns[name] for name in columns))
    for row in connection.execute(chosen, execution_options={"yield_per": ROWS}):
        yield dict(row._mapping)  # noqa: SLF001  a public name of SQLAlchemy


def batches(found: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield rows in lists of up to ROWS."""
    batch: list[dict[str, Any]] = []
    for row in found:
        batch.append(row)
        if len(batch) == ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def main() -> None:
    """Copy the database that the environment names to the file of the command line."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("alembic").setLevel(logging.WARNING)
    address = os.environ.get(VARIABLE, "")
    if len(sys.argv) != 2:  # noqa: PLR2004  the program and the file
        sys.exit(f"usage: {VARIABLE}=postgresql://user@host/database python {sys.argv[0]} FILE")
    if not address or address.startswith("sqlite:"):
        sys.exit(
            f"{VARIABLE}: it is not the address of a database. Set postgresql://… or mysql://…"
        )
    try:
        counts = write(create_engine(address), Path(sys.argv[1]))
    except (DifferentError, OSError, SQLAlchemyError, ValueError) as error:
        sys.exit(f"{sys.argv[1]} was not written: {error}")
    print(", ".join(f"{count} {name}" for name, count in counts.items()))


if __name__ == "__main__":
    main()
