"""Statements of hot routes are transactions of their own, on connections that are kept for them."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.utils.uri import append_to_uri_path
from mlflow_host.patches.hot_routes.database import (
    Database,
    RefusedError,
    UnknownOutcomeError,
    connect_arguments,
)
from mlflow_host.patches.hot_routes.runs import PLAIN_LOCATION
from mlflow_host.patches.hot_routes.statements import Statement, array

from tests.postgres import running_cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from tests.postgres import Cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as running:
        running.execute("CREATE TABLE kept (name text PRIMARY KEY)")
        yield running


@pytest.fixture
def opened(
    cluster: Cluster, request: pytest.FixtureRequest
) -> Callable[[int], AbstractAsyncContextManager[Database]]:
    """What opens the database with a number of connections, which have the test's name."""
    arguments = connect_arguments(sqlalchemy.create_engine(cluster.url("postgres")))
    arguments["application_name"] = request.node.name

    @asynccontextmanager
    async def open_(most: int) -> AsyncIterator[Database]:
        database = Database(arguments, most)
        yield database
        database.close()

    return open_


def rows(cluster: Cluster) -> int:
    [(count,)] = cluster.execute("SELECT count(*) FROM kept")
    return int(count)


def connections(cluster: Cluster) -> int:
    [(count,)] = cluster.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'test_requests_share_the_connections'"
    )
    return int(count)


INSERT = Statement("INSERT INTO kept VALUES (%(name)s) RETURNING name")
ECHO = Statement("SELECT %(name)s")
WAIT = Statement("SELECT pg_sleep(%(run)s::float8)::text")
END_ITSELF = Statement("SELECT pg_terminate_backend(pg_backend_pid())")


def test_statement_is_committed(cluster: Cluster, opened: Any) -> None:
    before = rows(cluster)

    async def ask() -> Any:
        async with opened(1) as database:
            return [await database.first(INSERT, {"name": name}) for name in ("one", "two")]

    assert asyncio.run(ask()) == [("one",), ("two",)]
    assert rows(cluster) == before + 2


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("INSERT INTO kept VALUES ('twice'), ('twice') RETURNING %(name)s", ""),
        ("SELECT %(name)s FROM missing", ""),
        ("SELECT 1 / length(%(name)s)", ""),
        ("SELECT %(name)s", "\udfff"),
        ("SELECT %(name)s", "a\0b"),
    ],
)
def test_statement_that_fails_changes_nothing(
    cluster: Cluster, opened: Any, text: str, name: str
) -> None:
    before = rows(cluster)

    async def ask() -> Any:
        async with opened(1) as database:
            for _ in range(2):
                with pytest.raises(RefusedError):
                    await database.first(Statement(text), {"name": name})
            return await database.first(ECHO, {"name": "still here"})

    assert asyncio.run(ask()) == ("still here",)
    assert rows(cluster) == before


def test_broken_connection_is_an_unknown_outcome(opened: Any) -> None:
    async def ask() -> Any:
        async with opened(1) as database:
            with pytest.raises(UnknownOutcomeError):
                await database.first(END_ITSELF, {})
            return await database.first(ECHO, {"name": "again"})

    assert asyncio.run(ask()) == ("again",)


def test_connection_that_broke_while_it_was_idle_is_replaced(cluster: Cluster, opened: Any) -> None:
    async def ask() -> Any:
        async with opened(1) as database:
            await database.first(ECHO, {"name": "before"})
            cluster.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'test_connection_that_broke%'"
            )
            # The event loop hears of it.
            await asyncio.sleep(0.5)
            return await database.first(ECHO, {"name": "after"})

    assert asyncio.run(ask()) == ("after",)


def test_database_that_refuses_connections_refuses_the_statement(cluster: Cluster) -> None:
    async def ask() -> None:
        engine = sqlalchemy.create_engine(cluster.url("missing"))
        with pytest.raises(RefusedError):
            await Database(connect_arguments(engine), 1).first(ECHO, {"name": ""})

    asyncio.run(ask())


def test_requests_share_the_connections(cluster: Cluster, opened: Any) -> None:
    async def ask() -> tuple[list[Any], int]:
        async with opened(2) as database:
            waiting = [database.first(ECHO, {"name": str(number)}) for number in range(20)]
            return await asyncio.gather(*waiting), connections(cluster)

    answers, most = asyncio.run(ask())

    assert answers == [(str(number),) for number in range(20)]
    assert most == 2


def test_statement_gives_way_to_others_while_a_row_is_locked(cluster: Cluster, opened: Any) -> None:
    async def ask() -> Any:
        async with opened(1) as database:
            with pytest.raises(RefusedError):
                await database.first(INSERT, {"name": "locked"})
            return await database.first(ECHO, {"name": "next"})

    other = cluster.connect()
    other.autocommit = False
    try:
        other.cursor().execute("INSERT INTO kept VALUES ('locked')")
        assert asyncio.run(ask()) == ("next",)
    finally:
        other.close()
    assert cluster.execute("SELECT FROM kept WHERE name = 'locked'") == []


def test_statement_that_is_left_ends_its_connection_only(opened: Any) -> None:
    async def ask() -> Any:
        async with opened(1) as database:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await database.first(WAIT, {"run": "30"})
            return await database.first(ECHO, {"name": "next"})

    assert asyncio.run(ask()) == ("next",)


def test_long_text_is_sent_whole(opened: Any) -> None:
    name = "long " * 2_000_000

    async def ask() -> Any:
        async with opened(1) as database:
            return await database.first(ECHO, {"name": name})

    assert asyncio.run(ask()) == (name,)


def test_changed_table_is_planned_again(cluster: Cluster, opened: Any) -> None:
    statement = Statement("SELECT * FROM changed WHERE name = %(name)s")
    cluster.execute("CREATE TABLE changed (name text)")
    cluster.execute("INSERT INTO changed VALUES ('one')")

    async def ask() -> Any:
        async with opened(1) as database:
            before = await database.first(statement, {"name": "one"})
            cluster.execute("ALTER TABLE changed ADD COLUMN more integer DEFAULT 1")
            with pytest.raises(RefusedError):
                await database.first(statement, {"name": "one"})
            return before, await database.first(statement, {"name": "one"})

    assert asyncio.run(ask()) == (("one",), ("one", 1))


@given(
    st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=9)
)
@settings(deadline=None)
def test_array_of_texts_is_read_as_it_was(cursor: Any, values: list[str]) -> None:
    cursor.execute("SELECT %s::text[]", (array(values),))

    assert cursor.fetchone() == (values,)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=9))
@settings(deadline=None)
def test_array_of_numbers_is_read_as_it_was(cursor: Any, values: list[float]) -> None:
    cursor.execute("SELECT %s::float8[]", (array(values),))

    assert cursor.fetchone() == (values,)


def test_array_of_booleans_is_read_as_it_was(cursor: Any) -> None:
    cursor.execute("SELECT %s::boolean[]", (array([True, False]),))

    assert cursor.fetchone() == ([True, False],)


@pytest.fixture(scope="module")
def cursor(cluster: Cluster) -> Iterator[Any]:
    connection = cluster.connect()
    yield connection.cursor()
    connection.close()


@given(
    location=st.one_of(
        st.from_regex(r"(mlflow-artifacts:|s3:/)(/[A-Za-z0-9_.-]{1,5}){1,3}", fullmatch=True),
        st.text(alphabet="s3:/ab.?#-%", max_size=12),
    )
)
def test_location_that_is_plain_is_extended_as_by_mlflow(location: str) -> None:
    if re.fullmatch(PLAIN_LOCATION, location):
        assert f"{location}/run/artifacts" == append_to_uri_path(location, "run", "artifacts")
