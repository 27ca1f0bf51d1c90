"""Statements of hot routes are transactions of their own, on connections of MLflow's pool."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.uri import append_to_uri_path
from mlflow_host.patches.hot_routes.database import Database, RefusedError, UnknownOutcomeError
from mlflow_host.patches.hot_routes.runs import PLAIN_LOCATION

from tests.postgres import running_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def engine() -> Iterator[sqlalchemy.Engine]:
    with running_cluster() as cluster:
        opened = sqlalchemy.create_engine(cluster.url("postgres"), pool_size=1, max_overflow=0)
        with opened.begin() as connection:
            connection.execute(sqlalchemy.text("CREATE TABLE kept (key text PRIMARY KEY)"))
        yield opened
        opened.dispose()


def rows(engine: sqlalchemy.Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(sqlalchemy.text("SELECT count(*) FROM kept")).scalar_one()


def test_statement_is_committed_and_connection_is_returned(engine: sqlalchemy.Engine) -> None:
    database = Database(engine)
    before = rows(engine)

    found = database.first("INSERT INTO kept VALUES (%(key)s) RETURNING key", {"key": "one"})

    assert found == ("one",)
    assert rows(engine) == before + 1
    # MLflow's sessions need transactions.
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("INSERT INTO kept VALUES ('undone')"))
        connection.rollback()
    assert rows(engine) == before + 1


@pytest.mark.parametrize(
    ("statement", "key"),
    [
        ("INSERT INTO kept VALUES ('twice'), ('twice') RETURNING %(key)s", ""),
        ("SELECT %(key)s FROM missing", ""),
        ("SELECT %(key)s", "\udfff"),
        ("SELECT %(key)s", "a\0b"),
    ],
)
def test_statement_that_fails_changes_nothing(
    engine: sqlalchemy.Engine, statement: str, key: str
) -> None:
    database = Database(engine)
    before = rows(engine)

    with pytest.raises(RefusedError):
        database.first(statement, {"key": key})

    assert rows(engine) == before
    assert database.first("SELECT 1", {}) == (1,)


def test_broken_connection_is_an_unknown_outcome(engine: sqlalchemy.Engine) -> None:
    database = Database(engine)

    with pytest.raises(UnknownOutcomeError):
        database.first("SELECT pg_terminate_backend(pg_backend_pid())", {})

    assert database.first("SELECT 1", {}) == (1,)


@given(
    location=st.one_of(
        st.from_regex(r"(mlflow-artifacts:|s3:/)(/[A-Za-z0-9_.-]{1,5}){1,3}", fullmatch=True),
        st.text(alphabet="s3:/ab.?#-%", max_size=12),
    )
)
def test_location_that_is_plain_is_extended_as_by_mlflow(location: str) -> None:
    if re.fullmatch(PLAIN_LOCATION, location):
        assert f"{location}/run/artifacts" == append_to_uri_path(location, "run", "artifacts")
