"""Load what found runs hold as plain rows, in a search for runs.

MLflow loads each metric, parameter and tag as an object that SQLAlchemy watches for changes, which
costs more than all else in a search for many runs; and a search changes nothing. Where the runs go
straight into an answer, PostgreSQL writes what they hold as JSON, without the two kinds of objects
between. What is found, in which order, and who may see it stay MLflow's own affair.
"""
# ruff: noqa: INP001  Ansible copies this module to the host, it belongs to no package

from __future__ import annotations

import json
from contextvars import ContextVar
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlParam, SqlRun, SqlTag
from sqlalchemy import String, any_, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import object_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask
    from mlflow_json import Answers
    from sqlalchemy.orm import Session


def _of_runs(table: Any, *columns: str) -> Any:
    """Return the question for rows of the runs `names`."""
    # In one parameter: SQLAlchemy would write out an IN for each number of runs.
    names = bindparam("names", type_=ARRAY(String))
    wanted = [getattr(table, column) for column in ("run_uuid", *columns)]
    return select(*wanted).where(table.run_uuid == any_(names))


_METRICS = _of_runs(SqlLatestMetric, "key", "value", "is_nan", "timestamp", "step")
_PARAMS = _of_runs(SqlParam, "key", "value")
_TAGS = _of_runs(SqlTag, "key", "value")
# Messages have no field that is null. Of what is no number PostgreSQL writes the name, in quotes.
_WRITTEN = text("""
    SELECT run_uuid, 'metrics', json_agg(json_build_object(
        'key', key, 'value', CASE WHEN is_nan THEN 'NaN' ELSE value END,
        'timestamp', timestamp, 'step', step))::text
    FROM latest_metrics WHERE run_uuid = ANY(:names) GROUP BY run_uuid
    UNION ALL
    SELECT run_uuid, 'params', json_agg(json_build_object('key', key, 'value', value))::text
    FROM params WHERE run_uuid = ANY(:names) GROUP BY run_uuid
    UNION ALL
    SELECT run_uuid, 'tags', json_agg(json_strip_nulls(
        json_build_object('key', key, 'value', value)))::text
    FROM tags WHERE run_uuid = ANY(:names) GROUP BY run_uuid
    """).bindparams(bindparam("names", type_=ARRAY(String)))


class _Row:
    """A row that becomes an entity as the object of SQLAlchemy's would."""

    __slots__ = ("_entity",)

    def __init__(self, entity: Metric | Param | RunTag) -> None:
        self._entity = entity

    def to_mlflow_entity(self) -> Metric | Param | RunTag:
        return self._entity


class _Found:
    """A run that was found: MLflow's object, but for what the run holds."""

    def __init__(self, run: SqlRun) -> None:
        self._run = run
        self.latest_metrics: list[_Row] = []
        self.params: list[_Row] = []
        self.tags: list[_Row] = []
        # The same as JSON, by its name in an answer, where it goes into one.
        self.written: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)


@dataclass
class _Search:
    """A search that goes on, with what it has found by the runs' identifiers."""

    is_written: bool
    found: dict[str, _Found] = field(default_factory=dict)


# The present search; None outside of one.
_search: ContextVar[_Search | None] = ContextVar("search", default=None)
# The runs of the present answer; None unless they are to be written.
_answer: ContextVar[list[tuple[Run, dict[str, str]]] | None] = ContextVar("answer", default=None)


def _load(session: Session, search: _Search) -> None:
    """Add all runs of a session to a search, with what they hold."""
    found = search.found
    found.update(
        {str(run.run_uuid): _Found(run) for run in session if isinstance(run, SqlRun)},
    )
    names = {"names": list(found)}
    if search.is_written:
        for run, name, written in session.execute(_WRITTEN, names):
            found[run].written[name] = written
            # What has no name of its own, MLflow names by a tag.
            if name == "tags" and not found[run].name:
                pairs = json.loads(written)
                found[run].tags = [_Row(RunTag(one["key"], one.get("value"))) for one in pairs]
        return
    for run, key, value, is_nan, timestamp, step in session.execute(_METRICS, names):
        number = float("nan") if is_nan else value
        found[run].latest_metrics.append(_Row(Metric(key, number, timestamp, step)))
    for run, key, value in session.execute(_PARAMS, names):
        found[run].params.append(_Row(Param(key, value)))
    for run, key, value in session.execute(_TAGS, names):
        found[run].tags.append(_Row(RunTag(key, value)))


def load_fast(store: Any) -> None:
    """Let a class of MLflow's stores search for runs by this."""
    search_runs = store._search_runs  # noqa: SLF001  nothing public is between
    options = store._get_eager_run_query_options  # noqa: SLF001  see above
    to_mlflow_entity: Callable[[Any], Any] = SqlRun.to_mlflow_entity

    def search_fast(self: Any, *arguments: Any, **named: Any) -> Any:
        answer = _answer.get()
        search = _Search(is_written=answer is not None)
        token = _search.set(search)
        try:
            runs, page_token = search_runs(self, *arguments, **named)
        finally:
            _search.reset(token)
        if answer is None:
            return runs, page_token
        answer += [(run, search.found[run.info.run_id].written) for run in runs]
        return [], page_token

    def eager_options() -> list[Any]:
        return options() if _search.get() is None else []

    def entity(run: Any) -> Any:
        search, session = _search.get(), object_session(run)
        if search is None or session is None:
            return to_mlflow_entity(run)
        if run.run_uuid not in search.found:
            _load(session, search)
        return to_mlflow_entity(search.found[run.run_uuid])

    store._search_runs = search_fast  # noqa: SLF001  see above
    store._get_eager_run_query_options = staticmethod(eager_options)  # noqa: SLF001  see above
    SqlRun.to_mlflow_entity = entity  # type: ignore[method-assign]  # there is no other seam


def answer_fast(flask: Flask, answers: Answers) -> None:
    """Let the question for runs be answered by this.

    Parameters
    ----------
    flask
        MLflow's application. It reads the question, searches, and makes an answer without runs.
    answers
        Writes the rest of each run.
    """
    view = flask.view_functions["_search_runs"]

    def search_runs() -> Any:
        runs: list[tuple[Run, dict[str, str]]] = []
        token = _answer.set(runs)
        try:
            response: Any = view()
        finally:
            _answer.reset(token)
        if runs and response.status_code == HTTPStatus.OK:
            written = ",".join(write(*one) for one in runs)
            # At least the braces; what else there is tells of the next page.
            rest = response.get_data(as_text=True).strip()[1:-1].strip()
            response.set_data(f'{{"runs":[{written}]{"," if rest else ""}{rest}}}')
        return response

    def write(run: Run, held: dict[str, str]) -> str:
        described = answers.value(run.to_proto())
        described.pop("data", None)
        data = ",".join(f'"{name}":{values}' for name, values in held.items())
        return f'{{"data":{{{data}}},{json.dumps(described, separators=(",", ":"))[1:]}'

    flask.view_functions["_search_runs"] = search_runs
