"""Searches for runs are answered the same, written by PostgreSQL or by MLflow."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    Metric,
    Param,
    RunStatus,
    RunTag,
    ViewType,
)
from mlflow.server import app as flask
from mlflow.server import auth, handlers
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlParam, SqlRun, SqlTag
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.proto_json_utils import message_to_json
from mlflow_host.patches import run_search
from mlflow_host.patches.messages import MessageWriter
from sqlalchemy import event

from tests.postgres import open_store, running_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXPERIMENT = "0"
# PostgreSQL and Python write doubles by different rules.
NUMBERS = (
    *(5e-324, 1e22, 0.0, -0.0, 1.0, -3.0, 1e14, 999999999999999.0, 1e15, 1e16, 9007199254740993.0),
    *(1e-5, 0.1, 1 / 3, 123456789012345.6, 1.7e308),
)
QUESTIONS: list[dict[str, Any]] = [
    {},
    {"max_results": 3},
    {"max_results": 3, "order_by": ["metrics.loss DESC"], "filter": "params.depth != '4'"},
    {"order_by": ["metrics.loss DESC", "attributes.start_time"]},
    {"filter": "params.depth = '3' and tags.kind = 'b'"},
    {"filter": "metrics.loss > 0.5", "max_results": 2},
    {"run_view_type": "ALL", "max_results": 3},
    {"run_view_type": "DELETED_ONLY"},
]
EMPTY: list[dict[str, Any]] = [{"filter": "tags.nothing = 'here'"}, {"experiment_ids": ["77"]}]


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
                    [RunTag("kind", "ab"[number % 2]), RunTag("ñ", "≤"), RunTag("null", "")],
                )
            if number == 5:
                opened.delete_run(name)
            if number == 6:
                odd = 'a "quoted" \\ back\nslash \x07 \u2028'
                opened.log_batch(
                    name,
                    [Metric("large", value, 1, 0) for value in (math.inf,)]
                    + [Metric("small", value, 1, -3) for value in (-math.inf,)]
                    + [Metric(f"n{i}", value, 1, i) for i, value in enumerate(NUMBERS)],
                    [Param("odd", odd)],
                    [RunTag("odd", odd), RunTag("empty", "")],
                )
            if number == 7:
                dataset = Dataset("data", "digest", "local", "here", "schema", "profile")
                opened.log_inputs(name, [DatasetInput(dataset, [InputTag("for", "training")])])
                opened.log_outputs(name, [LoggedModelOutput("m-1", 2)])
        cluster.execute("UPDATE runs SET name = NULL WHERE name = 'run 3'", "answers")
        cluster.execute("UPDATE tags SET value = NULL WHERE key = 'null'", "answers")
        yield opened
        opened.engine.dispose()


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's way, for the time of a test."""
    for name in ("_search_runs", "_get_run_inputs", "_get_model_outputs_bulk"):
        monkeypatch.setattr(SqlAlchemyStore, name, getattr(SqlAlchemyStore, name))
    options = SqlAlchemyStore._get_eager_run_query_options
    monkeypatch.setattr(SqlAlchemyStore, "_get_eager_run_query_options", staticmethod(options))
    monkeypatch.setattr(SqlRun, "to_mlflow_entity", SqlRun.to_mlflow_entity)
    run_search.search_for_answers(SqlAlchemyStore)
    monkeypatch.setitem(flask.view_functions, "_search_runs", flask.view_functions["_search_runs"])
    monkeypatch.setattr(handlers, "message_to_json", MessageWriter(message_to_json).write)
    run_search.answer_searches(flask)


@pytest.fixture
def ask(store: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], Any]:
    """Ask the server's application for runs."""
    monkeypatch.setattr(handlers, "_get_tracking_store", lambda *_: store)
    monkeypatch.setattr(auth, "auth_config", None)
    client = flask.test_client()

    def question(body: dict[str, Any]) -> Any:
        return client.post("/api/2.0/mlflow/runs/search", json=body)

    return question


def answered(ask: Callable[[dict[str, Any]], Any], question: dict[str, Any]) -> list[Any]:
    """Return all pages of an answer, with what each run holds in one order."""
    pages, token = [], None
    while True:
        body = {"experiment_ids": [EXPERIMENT], **question}
        answer = ask(body | ({"page_token": token} if token else {}))
        assert answer.status_code == 200
        assert answer.content_length == len(answer.get_data())
        page = answer.get_json()
        for run in page.get("runs", []):
            for held in run["data"].values():
                held.sort(key=lambda one: one["key"])
        pages.append(page)
        token = page.get("next_page_token")
        if not token:
            return pages


def written(answer: Any) -> str:
    """Return an answer as text: 1 and 1.0 are equal, and not the same."""
    return json.dumps(answer, sort_keys=True)


@pytest.mark.parametrize("question", QUESTIONS + EMPTY, ids=str)
def test_answer_is_the_same(
    ask: Callable[[dict[str, Any]], Any],
    request: pytest.FixtureRequest,
    question: dict[str, Any],
) -> None:
    by_mlflow = answered(ask, question)
    request.getfixturevalue("fast")

    assert written(answered(ask, question)) == written(by_mlflow)
    assert ("runs" in by_mlflow[0]) == (question in QUESTIONS)


@pytest.mark.usefixtures("fast")
def test_nothing_but_runs_is_watched_for_changes(
    ask: Callable[[dict[str, Any]], Any],
) -> None:
    loaded: set[str] = set()

    def note(target: Any, _: Any) -> None:
        loaded.add(type(target).__name__)

    for kind in (SqlRun, SqlLatestMetric, SqlParam, SqlTag):
        event.listen(kind, "load", note)
    try:
        answered(ask, {})
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


@pytest.mark.usefixtures("fast")
def test_many_runs_are_asked_for_in_portions(
    ask: Callable[[dict[str, Any]], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = answered(ask, {"run_view_type": "ALL"})
    monkeypatch.setattr(run_search, "AT_ONCE", 2)

    assert answered(ask, {"run_view_type": "ALL"}) == at_once


@pytest.mark.usefixtures("fast")
def test_answers_hold_what_is_odd(ask: Callable[[dict[str, Any]], Any]) -> None:
    [page] = answered(ask, {})
    metrics = [one for run in page["runs"] for one in run["data"].get("metrics", [])]
    values = {one["value"] for one in metrics}
    assert {"NaN", 5e-324, 1e22} <= values
    tags = [one for run in page["runs"] for one in run["data"].get("tags", [])]
    assert {"key": "empty", "value": ""} in tags
    assert {"key": "null"} in tags
    assert any("inputs" in run and "outputs" in run for run in page["runs"])
    assert "run 3" in {run["info"]["run_name"] for run in page["runs"]}


@pytest.mark.usefixtures("fast")
def test_refusal_stays_mlflows(ask: Callable[[dict[str, Any]], Any]) -> None:
    answer = ask({"experiment_ids": [EXPERIMENT], "filter": "not a filter"})
    assert answer.status_code == 400
    assert answer.get_json()["error_code"] == "INVALID_PARAMETER_VALUE"
