"""Searches for runs find the same, loaded as rows or as MLflow loads them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import mlflow_runs
import pytest
from mlflow.entities import Metric, Param, RunStatus, RunTag, ViewType
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlParam, SqlRun, SqlTag
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import event

from tests.postgres import open_store, running_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPERIMENT = "0"
SEARCHES: list[dict[str, Any]] = [
    {},
    {"order_by": ["metrics.loss DESC", "attributes.start_time"]},
    {"filter_string": "params.depth = '3' and tags.kind = 'b'"},
    {"filter_string": "metrics.loss > 0.5", "max_results": 2},
    {"run_view_type": ViewType.ALL, "max_results": 3},
    {"run_view_type": ViewType.DELETED_ONLY},
]


@pytest.fixture(scope="module")
def store() -> Iterator[Any]:
    """MLflow's own store with runs that hold much, little and nothing."""
    with running_cluster() as cluster:
        cluster.execute("CREATE DATABASE answers")
        opened = open_store(cluster.url("answers"))
        for number in range(9):
            run = opened.create_run(EXPERIMENT, "user", number, [], f"run {number}")
            name = run.info.run_id
            if number:
                opened.log_batch(
                    name,
                    [Metric(f"m{i}", i / 3, 1, 0) for i in range(number)]
                    + [
                        Metric("loss", value, 1, 0)
                        for value in (number / 7, math.nan)[number > 7 :]
                    ],
                    [Param("depth", str(number))],
                    [RunTag("kind", "ab"[number % 2]), RunTag("ñ", "≤")],
                )
            if number == 5:
                opened.delete_run(name)
        yield opened
        opened.engine.dispose()


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's way, for the time of a test."""
    for owner, name in (
        (SqlAlchemyStore, "_search_runs"),
        (SqlRun, "to_mlflow_entity"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    monkeypatch.setattr(
        SqlAlchemyStore,
        "_get_eager_run_query_options",
        staticmethod(SqlAlchemyStore._get_eager_run_query_options),
    )
    mlflow_runs.load_fast(SqlAlchemyStore)


def told(store: Any, **search: Any) -> list[list[Any]]:
    """Return pages of runs, each with what it holds in one order."""
    settings = {"filter_string": "", "run_view_type": ViewType.ACTIVE_ONLY} | search
    pages, token = [], None
    while True:
        found = store.search_runs([EXPERIMENT], page_token=token, **settings)
        pages.append(
            [
                [
                    dict(run.info),
                    sorted((one.key, str(one.value), one.step) for one in run.data._metric_objs),
                    sorted(run.data.params.items()),
                    sorted(run.data.tags.items()),
                ]
                for run in found
            ]
        )
        token = found.token
        if not token:
            return pages


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_search_finds_the_same(
    store: Any, request: pytest.FixtureRequest, search: dict[str, Any]
) -> None:
    by_mlflow = told(store, **search)
    request.getfixturevalue("fast")

    assert told(store, **search) == by_mlflow
    assert by_mlflow[0]


@pytest.mark.usefixtures("fast")
def test_nothing_but_runs_is_watched_for_changes(store: Any) -> None:
    loaded: set[str] = set()

    def note(target: Any, _: Any) -> None:
        loaded.add(type(target).__name__)

    for kind in (SqlRun, SqlLatestMetric, SqlParam, SqlTag):
        event.listen(kind, "load", note)
    try:
        told(store)
    finally:
        for kind in (SqlRun, SqlLatestMetric, SqlParam, SqlTag):
            event.remove(kind, "load", note)

    assert loaded == {"SqlRun"}


@pytest.mark.usefixtures("fast")
def test_outside_of_a_search_runs_are_mlflow_s(store: Any) -> None:
    run = store.create_run(EXPERIMENT, "user", 1, [RunTag("a", "b")], "written")
    store.set_tag(run.info.run_id, RunTag("a", "c"))
    store.update_run_info(run.info.run_id, RunStatus.FINISHED, 2, "renamed")
    again = store.get_run(run.info.run_id)

    assert again.data.tags["a"] == "c"
    assert again.info.run_name == "renamed"
    found = store.search_runs([EXPERIMENT], "attributes.run_name = 'renamed'", ViewType.ALL)
    assert [one.info.run_id for one in found] == [run.info.run_id]
