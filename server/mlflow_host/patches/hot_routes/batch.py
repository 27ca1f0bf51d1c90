"""Log metrics, parameters and tags to a run with one statement.

A statement does all or nothing. It does nothing if the run is not active, if the user is not
allowed to change it, or if a parameter has another value already; then MLflow answers. A metric
that was logged before, or a parameter that another request logs at the same time, violates a
primary key, which undoes the statement; then MLflow answers as well.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from mlflow_host.patches.hot_routes.logins import allowed
from mlflow_host.patches.hot_routes.statements import Statement, array

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlflow_host.patches.hot_routes.database import Database
    from mlflow_host.patches.hot_routes.logins import Ticket
    from mlflow_host.patches.hot_routes.requests import Batch, Metric

DONE = b"{}"

_RUN = f"""WITH run AS MATERIALIZED (
    SELECT r.run_uuid FROM runs r
    WHERE r.run_uuid = %(run)s AND r.lifecycle_stage = 'active' AND {allowed("r.experiment_id")}
    {{condition}})"""  # noqa: S608  constants only
_PARAMS = "unnest(%(param_keys)s::text[], %(param_values)s::text[]) AS n(key, value)"
_NO_OTHER_VALUE = f"""AND NOT EXISTS (
        SELECT FROM params p JOIN {_PARAMS} ON p.key = n.key
        WHERE p.run_uuid = %(run)s AND p.value <> n.value)"""
_METRIC = """, {name} AS (
    INSERT INTO {table} AS l (key, value, timestamp, step, is_nan, run_uuid)
    SELECT n.key, n.value, n.timestamp, n.step, n.is_nan, run.run_uuid FROM run CROSS JOIN unnest(
        %({name}_keys)s::text[], %({name}_values)s::float8[], %({name}_timestamps)s::bigint[],
        %({name}_steps)s::bigint[], %({name}_nans)s::boolean[]
    ) AS n(key, value, timestamp, step, is_nan) {conflict})"""
# MLflow's order: by step, then timestamp, then value.
_IF_LATER = """ON CONFLICT (key, run_uuid) DO UPDATE
    SET value = excluded.value, timestamp = excluded.timestamp, step = excluded.step,
        is_nan = excluded.is_nan
    WHERE (excluded.step, excluded.timestamp, excluded.value) > (l.step, l.timestamp, l.value)"""
_PARAM = f""", param AS (
    INSERT INTO params (key, value, run_uuid)
    SELECT n.key, n.value, run.run_uuid FROM run CROSS JOIN {_PARAMS}
    WHERE NOT EXISTS (SELECT FROM params p WHERE p.run_uuid = run.run_uuid AND p.key = n.key))"""  # noqa: S608  constants only
_TAG = """, tag AS (
    INSERT INTO tags AS t (key, value, run_uuid)
    SELECT n.key, n.value, run.run_uuid
    FROM run CROSS JOIN unnest(%(tag_keys)s::text[], %(tag_values)s::text[]) AS n(key, value)
    ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value
    WHERE t.value IS DISTINCT FROM excluded.value)"""


@cache
def statement(*, metrics: bool, params: bool, tags: bool) -> Statement:
    """Return the statement for the kinds that a batch holds."""
    parts = [_RUN.format(condition=_NO_OTHER_VALUE if params else "")]
    if metrics:
        parts.append(_METRIC.format(name="metric", table="metrics", conflict=""))
        parts.append(_METRIC.format(name="latest", table="latest_metrics", conflict=_IF_LATER))
    if params:
        parts.append(_PARAM)
    if tags:
        parts.append(_TAG)
    return Statement(f"{''.join(parts)} SELECT run_uuid FROM run")  # noqa: S608  constants only


def latest(metrics: Iterable[Metric]) -> list[Metric]:
    """Return the latest metric of each key, sorted by key: locks are taken in this order.

    Of equals the first counts, as for MLflow.
    """
    found: dict[str, Metric] = {}
    for one in metrics:
        other = found.get(one.key)
        if other is None or (one.step, one.timestamp, one.value) > (
            other.step,
            other.timestamp,
            other.value,
        ):
            found[one.key] = one
    return [found[key] for key in sorted(found)]


def _columns(name: str, metrics: list[Metric]) -> dict[str, str]:
    return {
        f"{name}_keys": array(one.key for one in metrics),
        f"{name}_values": array(one.value for one in metrics),
        f"{name}_timestamps": array(one.timestamp for one in metrics),
        f"{name}_steps": array(one.step for one in metrics),
        f"{name}_nans": array(one.is_nan for one in metrics),
    }


async def log(database: Database, batch: Batch, ticket: Ticket) -> bytes | None:
    """Log a batch; return the answer, None if nothing was done."""
    values = {"run": batch.run, **ticket.values()}
    if batch.metrics:
        values |= _columns("metric", batch.metrics) | _columns("latest", latest(batch.metrics))
    if batch.params:
        values |= {
            "param_keys": array(batch.params),
            "param_values": array(batch.params.values()),
        }
    if batch.tags:
        keys = sorted(batch.tags)
        values |= {"tag_keys": array(keys), "tag_values": array(batch.tags[key] for key in keys)}
    wanted = statement(
        metrics=bool(batch.metrics), params=bool(batch.params), tags=bool(batch.tags)
    )
    return DONE if await database.first(wanted, values) else None
