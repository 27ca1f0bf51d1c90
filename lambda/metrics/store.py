"""The connection to MLflow's database, and what is asked over it."""

from __future__ import annotations

import re
import select
import time
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import psycopg2
from psycopg2 import errors, extensions
from snapshot import Alias, Count, Counts, Models, ModelSize, Run, Snapshot, Version
from statements import (
    ALIASES,
    COUNTED_RUNS,
    COUNTS,
    CROWDED,
    LATEST_RUNS,
    SAMPLES_OF_A_RUN,
    SEPARATOR,
    TAG,
    VERSIONS,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settings import Database, Selection

# A connection that vanished without a word is noticed in this time, so that enough is left of the
# whole to open another.
_SILENCE_MILLISECONDS = 800

# What PostgreSQL says when the role has all the connections that it may have, and how long to wait
# then, in seconds.
_FULL = "too many connections for role"
_TURN_SECONDS = 0.02

# The ids of API Gateway. Nothing else gets into a statement.
_REQUEST_ID = re.compile(r"[0-9A-Za-z=_-]{1,64}", re.ASCII)

# Counts change slowly and cost more the more runs there are, so not every scrape asks for them.
COUNTS_SECONDS = 60


class UnavailableError(Exception):
    """The database gives no answer; the message says why, in words for whoever scrapes."""


class Store:
    """A connection that is opened at the first question, kept, and reopened when it broke.

    Each instance of the function has its own. When many scrape at once there are many instances,
    and the role may have few connections: who finds half of them taken gives its own back at once,
    and who finds all taken waits for one.
    """

    def __init__(self, database: Database, selection: Selection) -> None:
        self._database = database
        self._selection = selection
        self._connection: Any = None
        self._crowded = False
        self._comment = ""
        self._counts = Counts()
        self._counts_due = 0.0
        self._versions = _Versions()
        self._versions_due = 0.0

    def latest(self, request_id: str = "") -> Snapshot:
        """Return the latest active run of each active experiment.

        Parameters
        ----------
        request_id
            The id that the statements have as a comment, so that PostgreSQL's log shows it.

        Raises
        ------
        UnavailableError
            If the database does not answer in time, refuses, or has no tables of MLflow.
        """
        self._comment = comment(request_id)
        started = time.monotonic()
        alive_by = started + self._database.timeout
        deadline = started + self._database.answer_timeout
        kept = self._connection is not None
        try:
            try:
                self._reach(alive_by)
                rows = self._ask("latest_runs", deadline)
            except errors.QueryCanceled:
                raise
            except psycopg2.Error:
                # What a kept connection says may be of the past: it broke, or MLflow has migrated.
                if not kept:
                    raise
                self.close()
                self._reach(alive_by)
                rows = self._ask("latest_runs", deadline)
        except (psycopg2.Error, TimeoutError) as error:
            self.close()
            raise UnavailableError(_reason(error)) from error
        query_seconds = time.monotonic() - started
        runs, dropped = _served(rows)
        counts = self._count(deadline)
        models = self._read_models(runs, dropped, deadline)
        if self._crowded:
            self.close()
        return Snapshot(
            schema=rows[0][0] or "",
            indexed=rows[0][1],
            runs=runs,
            dropped=dropped,
            counts=counts,
            models=models,
            query_seconds=query_seconds,
        )

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _count(self, deadline: float) -> Counts:
        """Return how many there are of what, as of a minute ago at most."""
        if time.monotonic() >= self._counts_due:
            self._counts_due = time.monotonic() + COUNTS_SECONDS
            try:
                numbers = [Count(*row) for row in self._ask_further("counts", deadline)]
            except (psycopg2.Error, TimeoutError) as error:
                self._counts = Counts(trouble=_trouble(error))
            else:
                self._counts = Counts(numbers, time.time())
        return self._counts

    def _read_models(self, runs: Sequence[Run], dropped: Counter[str], deadline: float) -> Models:
        """Return the registry: its aliases as of now, the rest as of a minute ago at most.

        What is left out is added to ``dropped``.
        """
        try:
            if time.monotonic() >= self._versions_due:
                self._versions_due = time.monotonic() + COUNTS_SECONDS
                self._versions = _Versions()
                ids = [run.run_id for run in runs]
                self._versions = _versions(self._ask_further("versions", deadline, ids))
            elif self._versions.trouble:
                return Models(trouble=self._versions.trouble)
            aliases = _aliases(self._ask_further("aliases", deadline), dropped)
        except (psycopg2.Error, TimeoutError) as error:
            # It is tried again when the versions are due.
            self._versions = _Versions(trouble=_trouble(error))
            return Models(trouble=self._versions.trouble)
        if self._versions.dropped:
            dropped["model_limit"] += self._versions.dropped
        return Models(aliases, self._versions.versions, self._versions.sizes)

    def _ask_further(
        self, statement: str, deadline: float, *parameters: object
    ) -> list[tuple[Any, ...]]:
        """Ask what belongs to the answer, and does not prevent it where it is missing.

        The runs are there already. A connection on which something failed is closed, because it
        may still be busy.
        """
        if self._connection is None:
            self._open(deadline)
        try:
            return self._ask(statement, deadline, *parameters)
        except (psycopg2.Error, TimeoutError):
            self.close()
            raise

    def _reach(self, deadline: float) -> None:
        """See that there is a connection to a database that lives.

        One that is slow is waited for, one that is frozen is not: an answer may take longer than
        this sign of life.
        """
        if self._connection is None:
            self._open(deadline)
            return
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT")
            _wait(self._connection, deadline)

    def _ask(self, statement: str, deadline: float, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a prepared statement."""
        with self._connection.cursor() as cursor:
            text = f"EXECUTE {statement}"
            if parameters:
                text = cursor.mogrify(f"{text} ({', '.join(['%s'] * len(parameters))})", parameters)
                text = text.decode()
            cursor.execute(text + self._comment)
            _wait(self._connection, deadline)
            return cursor.fetchall()

    def _open(self, deadline: float) -> None:
        """Connect, when the role may have another connection, and prepare the statements."""
        refused: psycopg2.OperationalError | None = None
        while True:
            self._connection = self._connect()
            try:
                _wait(self._connection, deadline)
            except psycopg2.OperationalError as error:
                # Before there is a connection the error has no code.
                if _FULL not in str(error):
                    raise
                refused = error
                self.close()
                # Not all at the same moment.
                time.sleep(_TURN_SECONDS * (0.5 + time.perf_counter_ns() % 1000 / 1000))
            except TimeoutError:
                raise refused or TimeoutError from None
            else:
                break
        self._prepare(deadline)

    def _connect(self) -> Any:
        """Begin to connect, without waiting: the deadline is for all that follows as well."""
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
            # Compiling a statement costs more than it gains here, and is tried where there is much.
            options=f"-c statement_timeout={int(database.answer_timeout * 1000)} -c jit=off",
            async_=1,
        )

    def _prepare(self, deadline: float) -> None:
        """Prepare all statements and see how crowded it is, in one message."""
        selection = self._selection
        with self._connection.cursor() as cursor:
            tags = b", ".join(cursor.mogrify(TAG, (tag,)) for tag in selection.tags)
            parameters = {
                "experiments": selection.experiments,
                "names": selection.names,
                "max_age": selection.max_age,
                "max_series": selection.max_series,
                "max_model_series": selection.max_model_series,
                "separator": SEPARATOR,
                "samples_of_a_run": SAMPLES_OF_A_RUN,
                "exact_up_to": COUNTED_RUNS,
                "tags": extensions.AsIs(tags.decode()),
            }
            statements = {
                b"latest_runs": LATEST_RUNS,
                b"counts": COUNTS,
                b"aliases": ALIASES,
                b"versions (text[])": VERSIONS,
            }
            cursor.execute(
                b"; ".join(
                    b"PREPARE %s AS %s" % (name, cursor.mogrify(statement, parameters))
                    for name, statement in statements.items()
                )
                + b"; "
                + CROWDED.encode()
            )
            _wait(self._connection, deadline)
            [(self._crowded,)] = cursor.fetchall()


def comment(request_id: str) -> str:
    """Return the id as a comment of SQL, as sqlcommenter writes it; nothing if it is not an id."""
    if not _REQUEST_ID.fullmatch(request_id):
        return ""
    return f" /*request_id='{quote(request_id, safe='')}'*/"


def _served(rows: Sequence[tuple[Any, ...]]) -> tuple[list[Run], Counter[str]]:
    """Return the runs to serve, and how many samples were left out for which reason."""
    runs: list[Run] = []
    dropped: Counter[str] = Counter()
    for row in rows:
        _, _, reason, found, kept, own, room = row[:7]
        keys, values = row[-2:]
        if row[7] is None:  # there is no run at all
            continue
        if reason in {"experiment", "age"}:
            dropped[reason] += own + found
            continue
        if kept < found:
            dropped["name"] += found - kept
        if reason == "limit":
            dropped["limit"] += own + kept
            continue
        if room < kept:
            dropped["limit"] += kept - room
        runs.append(Run._make((*row[7:-2], *_metrics(keys, values, kept, room))))
    return runs, dropped


def _metrics(
    keys: str | None, values: str | None, kept: int, room: int
) -> tuple[tuple[str, ...], Sequence[str]]:
    """Parse the metrics of a run; if there are more than `room`, keep the first ones by name."""
    names = _names(keys) if keys else ()
    numbers: Sequence[str] = values.split(SEPARATOR) if values else ()
    if room < kept:
        pairs = sorted(zip(names, numbers, strict=True))[:room]
        names, numbers = tuple(name for name, _ in pairs), [number for _, number in pairs]
    return names, numbers


def _aliases(rows: Sequence[tuple[Any, ...]], dropped: Counter[str]) -> list[Alias]:
    """Return the aliases to serve; add to `dropped` how many samples are left out."""
    aliases = []
    for row in rows:
        matching, found, kept, room, workspace = row[:5]
        keys, values = row[-2:]
        if kept < found:
            dropped["name" if matching else "experiment"] += found - kept
        if room < kept:
            dropped["model_limit"] += kept - room if room >= 0 else 1 + kept
        if room >= 0:
            metrics = _metrics(keys, values, kept, room)
            aliases.append(Alias._make((_workspace(workspace), *row[5:-2], *metrics)))
    return aliases


class _Versions(NamedTuple):
    """What is known of all versions, and how many samples were left out."""

    sizes: Sequence[ModelSize] = ()
    versions: Sequence[Version] = ()
    dropped: int = 0
    trouble: str = ""


def _versions(rows: Sequence[tuple[Any, ...]]) -> _Versions:
    sizes = [
        ModelSize(_workspace(workspace), model, number)
        for workspace, model, version, _, number, _ in rows
        if version is None
    ]
    versions = [
        Version(_workspace(workspace), model, version, run_id)
        for workspace, model, version, run_id, _, _ in rows
        if version is not None
    ]
    return _Versions(sizes, versions, rows[0][-1] - len(rows) if rows else 0)


def _workspace(name: str) -> str:
    """Return nothing for the workspace of those who use none, as Prometheus has no empty label."""
    return "" if name == "default" else name


def _trouble(error: Exception) -> str:
    """Say for the log what is missing."""
    return f"{type(error).__name__} {error}".strip()


@lru_cache(maxsize=4096)
def _names(keys: str) -> tuple[str, ...]:
    """Split the names of a run's metrics; many runs have the same."""
    return tuple(keys.split(SEPARATOR))


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
            reason = "the database does not answer in time"
        case errors.InvalidRegularExpression():
            detail = str(error).splitlines()[0]
            reason = f"METRICS_EXPERIMENTS or METRICS_NAMES is not a valid pattern: {detail}"
        case errors.UndefinedTable() | errors.UndefinedColumn():
            reason = "the database has no tables of MLflow yet: start the tracking server once"
        case errors.InsufficientPrivilege():
            reason = "the database lets this role read no tables of MLflow: run site.yml again"
        case psycopg2.OperationalError() if _FULL in str(error):
            reason = "the database has no connection left for this role"
        case psycopg2.OperationalError():
            reason = "no connection to the database"
        case _:
            reason = f"the database refuses the question ({type(error).__name__})"
    return reason
