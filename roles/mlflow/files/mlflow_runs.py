"""Load what found runs hold as plain rows, in a search for runs.

MLflow loads each metric, parameter and tag as an object that SQLAlchemy watches for changes, which
costs more than all else in a search for many runs; and a search changes nothing. What is found, in
which order, and what becomes of it stay MLflow's own affair.
"""
# ruff: noqa: INP001  Ansible copies this module to the host, it belongs to no package

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlParam, SqlRun, SqlTag
from sqlalchemy import select
from sqlalchemy.orm import object_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

# How many runs one question for their rows is about.
_AT_ONCE = 1000


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

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)


# What the present search has found, by the runs' identifiers; None outside of a search.
_search: ContextVar[dict[str, _Found] | None] = ContextVar("search", default=None)


def _load(session: Session) -> dict[str, _Found]:
    """Return all runs of a session, with what they hold."""
    found: dict[str, _Found] = {
        str(run.run_uuid): _Found(run) for run in session if isinstance(run, SqlRun)
    }
    names = list(found)
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        metrics: Any = select(
            SqlLatestMetric.run_uuid,
            SqlLatestMetric.key,
            SqlLatestMetric.value,
            SqlLatestMetric.is_nan,
            SqlLatestMetric.timestamp,
            SqlLatestMetric.step,
        ).where(SqlLatestMetric.run_uuid.in_(some))
        for run, key, value, is_nan, timestamp, step in session.execute(metrics):
            number = float("nan") if is_nan else value
            found[run].latest_metrics.append(_Row(Metric(key, number, timestamp, step)))
        params = select(SqlParam.run_uuid, SqlParam.key, SqlParam.value)
        for run, key, value in session.execute(params.where(SqlParam.run_uuid.in_(some))):
            found[run].params.append(_Row(Param(key, value)))
        tags = select(SqlTag.run_uuid, SqlTag.key, SqlTag.value)
        for run, key, value in session.execute(tags.where(SqlTag.run_uuid.in_(some))):
            found[run].tags.append(_Row(RunTag(key, value)))
    return found


def load_fast(store: Any) -> None:
    """Let a class of MLflow's stores search for runs by this."""
    search_runs = store._search_runs  # noqa: SLF001  nothing public is between
    options = store._get_eager_run_query_options  # noqa: SLF001  see above
    to_mlflow_entity: Callable[[Any], Any] = SqlRun.to_mlflow_entity

    def search(self: Any, *arguments: Any, **named: Any) -> Any:
        token = _search.set({})
        try:
            return search_runs(self, *arguments, **named)
        finally:
            _search.reset(token)

    def eager_options() -> list[Any]:
        return options() if _search.get() is None else []

    def entity(run: Any) -> Any:
        found, session = _search.get(), object_session(run)
        if found is None or session is None:
            return to_mlflow_entity(run)
        if run.run_uuid not in found:
            found.update(_load(session))
        return to_mlflow_entity(found[run.run_uuid])

    store._search_runs = search  # noqa: SLF001  see above
    store._get_eager_run_query_options = staticmethod(eager_options)  # noqa: SLF001  see above
    SqlRun.to_mlflow_entity = entity  # type: ignore[method-assign]  # there is no other seam
