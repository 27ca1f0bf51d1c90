"""Run one statement as a transaction of its own, on connections that are kept for hot routes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import psycopg2
from psycopg2.errors import IntegrityError, LockNotAvailable

from mlflow_host.logs import current
from mlflow_host.patches.hot_routes.connection import Connection, connect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

    from mlflow_host.patches.hot_routes.statements import Statement

# The statements find rows by their keys, whatever the tables' statistics say about new tables. A
# statement that waits for a lock gives way to others; MLflow then waits for it, in a thread.
OPTIONS = (
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off -c lock_timeout=500"
)


class RefusedError(Exception):
    """The database has not carried out a statement, so MLflow can repeat it."""


class UnknownOutcomeError(Exception):
    """The connection broke, so it is not known whether a statement was carried out."""


class Database:
    """MLflow's database, for one event loop.

    Parameters
    ----------
    arguments
        How psycopg2 connects to it.
    most
        Number of connections. A request waits for one in the order of requests.
    """

    def __init__(self, arguments: Mapping[str, Any], most: int) -> None:
        """Open no connection yet."""
        options = " ".join(filter(None, [arguments.get("options"), OPTIONS]))
        self._arguments = {**arguments, "options": options}
        self._free = asyncio.Semaphore(most)
        self._idle: list[Connection] = []

    async def first(
        self, statement: Statement, values: Mapping[str, Any]
    ) -> tuple[Any, ...] | None:
        """Return the first row of a statement, which is committed by then; None without rows.

        Raises
        ------
        RefusedError
            If nothing was carried out.
        UnknownOutcomeError
            If the connection broke.
        """
        request = current.get()
        comment = f"/*request_id='{request.id}'*/" if request else ""
        async with self._free:
            connection = await self._connection()
            is_usable = False
            try:
                row = await connection.first(statement, values, comment)
                is_usable = True
            except (IntegrityError, LockNotAvailable, ValueError) as error:
                is_usable = True
                raise RefusedError from error
            except psycopg2.Error as error:
                if connection.is_open:
                    raise RefusedError from error
                raise UnknownOutcomeError from error
            finally:
                if is_usable:
                    self._idle.append(connection)
                elif connection.is_open:
                    # What the statement was planned for may have changed.
                    connection.close()
        return row

    def close(self) -> None:
        """Close the connections that no statement uses."""
        while self._idle:
            self._idle.pop().close()

    async def _connection(self) -> Connection:
        """Return the connection that was used last, or a new one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        try:
            return Connection(await anyio.to_thread.run_sync(connect, self._arguments))
        except psycopg2.Error as error:
            raise RefusedError from error


def connect_arguments(engine: Engine) -> dict[str, Any]:
    """Return how psycopg2 connects to the database of an engine."""
    return dict(engine.dialect.create_connect_args(engine.url)[1])
