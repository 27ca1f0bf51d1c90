"""Connections to MLflow's database, without MLflow."""

from __future__ import annotations

import logging
import os
import re
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from mlflow_host.settings import setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import cursor as Cursor  # noqa: N812  as classes are named

logger = logging.getLogger(__name__)


@contextmanager
def connection() -> Iterator[Cursor]:
    """Open a connection in autocommit mode.

    Raises
    ------
    ConnectionError
        If the database refuses it or does not answer.
    """
    import psycopg2

    uri = re.sub(r"^postgresql\+psycopg2:", "postgresql:", setting("MLFLOW_BACKEND_STORE_URI"))
    try:
        opened = psycopg2.connect(uri)
    except psycopg2.OperationalError as error:
        raise ConnectionError(f"The database refuses the connection: {error}") from error
    with closing(opened):
        opened.autocommit = True
        with opened.cursor() as cursor:
            yield cursor


def check_connection() -> None:
    """Raise ConnectionError if the database cannot be reached."""
    with connection():
        pass


def wait_for_database() -> None:
    """Wait without a limit; MLflow itself gives up, and the worker with it."""
    while True:
        try:
            check_connection()
        except ConnectionError as error:
            logger.warning("%s", error)
            time.sleep(1)
        else:
            return


def log_in_as(role: str, password: str) -> None:
    """Use another role of the database for all connections of this process from now on."""
    address = urlsplit(setting("MLFLOW_BACKEND_STORE_URI"))
    server = address.netloc.rpartition("@")[2]
    # libpq prefers a password file that the address names to PGPASSWORD.
    query = [pair for pair in parse_qsl(address.query) if pair[0] != "passfile"]
    changed = address._replace(netloc=f"{quote(role, safe='')}@{server}", query=urlencode(query))
    os.environ["MLFLOW_BACKEND_STORE_URI"] = urlunsplit(changed)
    # `ps auxe` does not show variables that a process sets for itself.
    os.environ["PGPASSWORD"] = password


def first_row(cursor: Cursor, statement: str, *values: str) -> Any:
    """Return the first row, None if there is none."""
    cursor.execute(statement, values)
    return cursor.fetchone()


def table_exists(cursor: Cursor, table: str) -> bool:
    """Return whether the table is in the connection's search path."""
    return bool(first_row(cursor, "SELECT to_regclass(%s) IS NOT NULL", table)[0])
