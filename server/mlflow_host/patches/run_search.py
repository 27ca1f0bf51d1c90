"""Answer a search for runs with what PostgreSQL writes of them.

MLflow loads each metric, parameter and tag as an object that SQLAlchemy watches for changes, makes
an entity of it, and of that a message, which it writes as JSON. Here PostgreSQL writes it, in one
question for all runs that were found. What is found, in which order, and who may see it stay
MLflow's own affair, and so do searches that are not answered over HTTP.
"""

from __future__ import annotations

import json
from collections import defaultdict
from contextvars import ContextVar
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mlflow.server import handlers
from mlflow.store.tracking.dbmodels.models import SqlRun
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME
from sqlalchemy import String, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from mlflow_host import run_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask
    from mlflow.entities import Run
    from sqlalchemy.orm import Session

    from mlflow_host.patches import Server

# How many runs one question is about.
AT_ONCE = 1000
_HELD = text(f"""
    SELECT run_uuid, 'metrics', {run_json.METRICS}
    FROM latest_metrics WHERE run_uuid = ANY(:runs) GROUP BY run_uuid
    UNION ALL
    SELECT run_uuid, 'params', {run_json.PARAMS}
    FROM params WHERE run_uuid = ANY(:runs) GROUP BY run_uuid
    UNION ALL
    SELECT run_uuid, 'tags', {run_json.TAGS}
    FROM tags WHERE run_uuid = ANY(:runs) GROUP BY run_uuid
    UNION ALL
    SELECT destination_id, 'dataset_inputs', {run_json.DATASETS}
    FROM inputs JOIN datasets ON inputs.source_id = datasets.dataset_uuid
    WHERE destination_type = 'RUN' AND destination_id = ANY(:runs) GROUP BY destination_id
    UNION ALL
    SELECT source_id, 'model_outputs', json_agg(
        json_build_object('model_id', destination_id, 'step', step))::text
    FROM inputs
    WHERE source_type = 'RUN_OUTPUT' AND destination_type = 'MODEL_OUTPUT'
        AND source_id = ANY(:runs)
    GROUP BY source_id
    """).bindparams(bindparam("runs", type_=ARRAY(String)))  # noqa: S608  constants only
# The parts of a run in an answer, and which of the above each holds.
_PARTS = {
    "data": ("metrics", "params", "tags"),
    "inputs": ("dataset_inputs",),
    "outputs": ("model_outputs",),
}


@dataclass
class _Answer:
    """What an answer is made of: the runs in their order, and what they hold, as JSON by name."""

    runs: list[Run] = field(default_factory=list)
    held: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))


# The answer that is being made; None while MLflow searches for purposes of its own.
_answer: ContextVar[_Answer | None] = ContextVar("answer", default=None)


class _Bare:
    """A run of MLflow's tables without what it holds."""

    latest_metrics = params = tags = ()

    def __init__(self, run: SqlRun) -> None:
        self._run = run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)


def apply(server: Server) -> None:
    """Make MLflow's store search this way, and its Flask application answer this way."""
    search_for_answers(SqlAlchemyStore)
    answer_searches(server.flask)


def search_for_answers(store: Any) -> None:
    """Make a class of MLflow's stores find runs without what they hold, and then read all of it."""
    # Nothing public is between a search and its pieces.
    search_runs = store._search_runs  # noqa: SLF001
    eager_options = store._get_eager_run_query_options  # noqa: SLF001
    inputs = store._get_run_inputs  # noqa: SLF001
    outputs = store._get_model_outputs_bulk  # noqa: SLF001
    to_mlflow_entity: Callable[[Any], Any] = SqlRun.to_mlflow_entity

    def search_for_answer(self: Any, *arguments: Any, **named: Any) -> Any:
        runs, page_token = search_runs(self, *arguments, **named)
        if answer := _answer.get():
            answer.runs, runs = runs, []
        return runs, page_token

    def bare_entity(run: Any) -> Any:
        return to_mlflow_entity(_Bare(run) if _answer.get() else run)

    def hold(self: Any, session: Session, run_uuids: list[str]) -> Any:
        answer = _answer.get()
        if not answer:
            return inputs(self, session, run_uuids)
        for start in range(0, len(run_uuids), AT_ONCE):
            some = run_uuids[start : start + AT_ONCE]
            for run, name, written in session.execute(_HELD, {"runs": some}):
                answer.held[run][name] = written
        return [[] for _ in run_uuids]

    def no_outputs(self: Any, run_ids: list[str], session: Session) -> Any:
        return dict.fromkeys(run_ids, ()) if _answer.get() else outputs(self, run_ids, session)

    store._search_runs = search_for_answer  # noqa: SLF001
    store._get_eager_run_query_options = staticmethod(  # noqa: SLF001
        lambda: [] if _answer.get() else eager_options()
    )
    store._get_run_inputs = hold  # noqa: SLF001
    store._get_model_outputs_bulk = no_outputs  # noqa: SLF001
    SqlRun.to_mlflow_entity = bare_entity  # type: ignore[method-assign]  # there is no other seam


def answer_searches(flask: Flask) -> None:
    """Make MLflow's Flask application answer searches for runs this way.

    MLflow's own view reads the request, searches, and makes an answer without runs.
    """
    view = flask.view_functions["_search_runs"]

    def search_runs() -> Any:
        answer = _Answer()
        token = _answer.set(answer)
        try:
            response: Any = view()
        finally:
            _answer.reset(token)
        if answer.runs and response.status_code == HTTPStatus.OK:
            runs = ",".join(_write(run, answer.held[run.info.run_id]) for run in answer.runs)
            # The rest without its braces: the token of the next page, if there is one.
            rest = response.get_data(as_text=True).strip()[1:-1].strip()
            response.set_data(f'{{"runs":[{runs}]{"," if rest else ""}{rest}}}')
        return response

    flask.view_functions["_search_runs"] = search_runs


def _write(run: Run, held: dict[str, str]) -> str:
    """Return a run as JSON."""
    info = run.info.to_proto()
    # That of the patch `messages`, where it is applied.
    write_message = vars(handlers)["message_to_json"]
    if not info.run_name:
        # What has no name of its own, MLflow names by a tag.
        tags = {tag["key"]: tag.get("value") for tag in json.loads(held.get("tags", "[]"))}
        if name := tags.get(MLFLOW_RUN_NAME):
            info.run_name = name
    written = [f'"info":{write_message(info)}']
    for part, kinds in _PARTS.items():
        values = ",".join(f'"{kind}":{held[kind]}' for kind in kinds if kind in held)
        written.append(f'"{part}":{{{values}}}')
    return f"{{{','.join(written)}}}"
