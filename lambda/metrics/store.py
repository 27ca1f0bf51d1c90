"""The latest runs, read from MLflow's database by one statement."""

from __future__ import annotations

import select
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg2
from exposition import Run, Snapshot
from psycopg2 import errors, extensions

if TYPE_CHECKING:
    from collections.abc import Mapping

# MLflow writes an infinity as the largest number that a double holds, and NaN as 0 with a flag.
# The order of the runs is that of MLflow's own search, and that of the index that its role makes.
# The left join keeps one row when there is no run at all.
STATEMENT = """
SELECT (SELECT max(version_num) FROM alembic_version),
       latest.run_uuid, latest.run_name, latest.status,
       latest.experiment_id, latest.experiment_name, latest.keys, latest.values
FROM (VALUES (true)) AS always (answered)
LEFT JOIN (
  SELECT e.experiment_id, e.name AS experiment_name,
         r.run_uuid, r.name AS run_name, r.status, m.keys, m.values
  FROM experiments AS e
  CROSS JOIN LATERAL (
    SELECT run_uuid, name, status
    FROM runs
    WHERE experiment_id = e.experiment_id AND lifecycle_stage = 'active'
    ORDER BY start_time DESC, run_uuid
    LIMIT 1
  ) AS r
  CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(key), '{}') AS keys,
           coalesce(array_agg(CASE WHEN is_nan THEN 'NaN'
                          WHEN value >= 1.7976931348623157e308 THEN 'Infinity'
                          WHEN value <= -1.7976931348623157e308 THEN '-Infinity'
                          ELSE value END), '{}') AS values
    FROM latest_metrics
    WHERE run_uuid = r.run_uuid
  ) AS m
  WHERE e.lifecycle_stage = 'active'
) AS latest ON answered
ORDER BY latest.experiment_id
"""

# A connection that vanished without a word is noticed in this time, so that enough is left of the
# whole to open another.
_SILENCE_MILLISECONDS = 800


class UnavailableError(Exception):
    """The database gives no answer; the message says why, in words for whoever scrapes."""


@dataclass(frozen=True, slots=True)
class Database:
    """Where the database is; `timeout` is what it has for connecting and answering, in seconds."""

    host: str
    port: int
    name: str
    user: str
    password: str
    ca_file: str
    timeout: float

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Database:
        """Read the settings.

        Raises
        ------
        KeyError
            If one is missing.
        ValueError
            If the port or the time is no number.
        """
        return cls(
            host=environment["DATABASE_HOST"],
            port=int(environment["DATABASE_PORT"]),
            name=environment["DATABASE_NAME"],
            user=environment["DATABASE_USER"],
            password=environment["DATABASE_PASSWORD"],
            ca_file=environment["DATABASE_SSLROOTCERT"],
            timeout=float(environment.get("DATABASE_TIMEOUT_SECONDS", "1.8")),
        )


class Store:
    """A connection that is opened at the first question, kept, and reopened when it broke."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Any = None

    def latest(self) -> Snapshot:
        """Return the latest active run of each active experiment.

        Raises
        ------
        UnavailableError
            If the database does not answer in time, refuses, or has no tables of MLflow.
        """
        deadline = time.monotonic() + self._database.timeout
        kept = self._connection is not None
        try:
            try:
                return self._ask(deadline)
            except psycopg2.Error:
                if not kept or not self._connection.closed:
                    raise
                self._connection = None
                return self._ask(deadline)
        except (psycopg2.Error, TimeoutError) as error:
            self.close()
            raise UnavailableError(_reason(error)) from error

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, deadline: float) -> Snapshot:
        if self._connection is None:
            self._connection = self._connect()
        _wait(self._connection, deadline)
        with self._connection.cursor() as cursor:
            cursor.execute(STATEMENT)
            _wait(self._connection, deadline)
            rows = cursor.fetchall()
        runs = [
            Run(
                run_id=run_id,
                run_name=run_name or "",
                status=status or "",
                experiment_id=experiment_id,
                experiment_name=experiment_name,
                keys=tuple(keys),
                values=tuple(values),
            )
            for _, run_id, run_name, status, experiment_id, experiment_name, keys, values in rows
            if run_id is not None
        ]
        return Snapshot(rows[0][0] or "", runs)

    def _connect(self) -> Any:
        """Begin to connect, without waiting: the deadline is for connecting and asking together."""
        database = self._database
        return psycopg2.connect(
            host=database.host,
            port=database.port,
            dbname=database.name,
            user=database.user,
            password=database.password,
            sslmode="verify-full",
            sslrootcert=database.ca_file,
            gssencmode="disable",
            application_name="mlflow-metrics",
            tcp_user_timeout=_SILENCE_MILLISECONDS,
            options=f"-c statement_timeout={int(database.timeout * 1000)}",
            async_=1,
        )


def _wait(connection: Any, deadline: float) -> None:
    """Let the connection work until it has nothing more to do.

    Raises
    ------
    TimeoutError
        If it is not done by the deadline.
    """
    while (state := connection.poll()) != extensions.POLL_OK:
        reads = [connection] if state == extensions.POLL_READ else []
        writes = [connection] if state == extensions.POLL_WRITE else []
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not any(select.select(reads, writes, [], remaining)):
            raise TimeoutError


def _reason(error: Exception) -> str:
    """Say in one line why there is no answer, without what a stranger need not know."""
    match error:
        case TimeoutError() | errors.QueryCanceled():
            return "the database does not answer in time"
        case errors.UndefinedTable() | errors.UndefinedColumn():
            return "the database has no tables of MLflow yet: start the tracking server once"
        case errors.InsufficientPrivilege():
            return "the database lets this role read no tables of MLflow: run site.yml again"
        case psycopg2.OperationalError():
            return "no connection to the database"
    return f"the database refuses the question ({type(error).__name__})"
