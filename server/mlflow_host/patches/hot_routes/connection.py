"""A connection to PostgreSQL that the event loop serves, without a thread for each request.

psycopg2 calls this asynchronous support: a connection says what it waits for, and commits each
statement. https://www.psycopg.org/docs/advanced.html#asynchronous-support
"""

from __future__ import annotations

import asyncio
import select
import time
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow_host.patches.hot_routes.statements import Statement

SECONDS_TO_CONNECT = 10.0
EVENTS = {POLL_READ: select.POLLIN, POLL_WRITE: select.POLLOUT}


def connect(arguments: Mapping[str, Any]) -> Any:
    """Open psycopg2's connection in a thread, because libpq waits for the name server.

    Raises
    ------
    psycopg2.Error
        If the database refuses it, or does not answer for `SECONDS_TO_CONNECT`.
    """
    deadline = time.monotonic() + SECONDS_TO_CONNECT
    driver = psycopg2.connect(**arguments, async_=1)
    try:
        while (state := driver.poll()) != POLL_OK:
            waiting = select.poll()
            waiting.register(driver.fileno(), EVENTS[state])
            if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise psycopg2.OperationalError("The database does not answer")
    except psycopg2.Error:
        driver.close()
        raise
    return driver


class Connection:
    """A connection that executes one statement at a time."""

    def __init__(self, driver: Any) -> None:
        """Serve psycopg2's connection in the running event loop."""
        self._driver = driver
        self._loop = asyncio.get_running_loop()
        # libpq changes it no more once the connection is open.
        self._file = driver.fileno()
        self._prepared: set[str] = set()
        self._answer: asyncio.Future[None] | None = None
        self._writes = False
        self._loop.add_reader(self._file, self._progress)

    @property
    def is_open(self) -> bool:
        """Whether it can execute a statement, as far as the database has said."""
        return not self._driver.closed

    def close(self) -> None:
        """Close it; the database undoes a statement in progress or carries it out."""
        self._loop.remove_reader(self._file)
        if self._writes:
            self._loop.remove_writer(self._file)
        self._driver.close()

    async def first(
        self, statement: Statement, values: Mapping[str, Any], comment: str
    ) -> tuple[Any, ...] | None:
        """Return the first row of a statement, which is committed by then; None without rows.

        Raises
        ------
        psycopg2.Error
            What the database says, or that the connection broke.
        ValueError
            If a text is not valid in UTF-8; nothing was sent then.
        """
        if statement.name not in self._prepared:
            await self._execute(statement.prepare)
            self._prepared.add(statement.name)
        cursor = await self._execute(f"{statement.execute} {comment}", values)
        row: tuple[Any, ...] | None = cursor.fetchone()
        return row

    async def _execute(self, text: str, values: Mapping[str, Any] | None = None) -> Any:
        """Execute SQL; return the cursor that has its rows."""
        cursor = self._driver.cursor()
        cursor.execute(text, values)
        self._answer = self._loop.create_future()
        self._progress()
        try:
            await self._answer
        finally:
            self._answer = None
        return cursor

    def _progress(self) -> None:
        """Go on where the connection has waited; without a statement, notice that it broke."""
        try:
            state = self._driver.poll()
        except psycopg2.Error as error:
            if self._driver.closed:
                self.close()
            self._end(error)
            return
        if (state == POLL_WRITE) != self._writes:
            self._writes = not self._writes
            if self._writes:
                self._loop.add_writer(self._file, self._progress)
            else:
                self._loop.remove_writer(self._file)
        if state == POLL_OK:
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        answer = self._answer
        if answer is None or answer.done():
            return
        if error:
            answer.set_exception(error)
        else:
            answer.set_result(None)
