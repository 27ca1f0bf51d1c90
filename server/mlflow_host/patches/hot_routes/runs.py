"""Create, change and return a run with one statement."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME
from mlflow.utils.name_utils import _generate_random_name

from mlflow_host import run_json
from mlflow_host.patches.hot_routes.logins import allowed
from mlflow_host.patches.hot_routes.statements import Statement, array

if TYPE_CHECKING:
    from mlflow_host.patches.hot_routes.database import Database
    from mlflow_host.patches.hot_routes.logins import Ticket
    from mlflow_host.patches.hot_routes.requests import Creation, Lookup, Update

# Locations to which MLflow appends a path as a text. It changes others, such as those with a query.
PLAIN_LOCATION = r"^(mlflow-artifacts:|s3:/)(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$"
# What an answer holds of a run, in the order of `_info`.
_INFO = (
    "r.run_uuid, r.name, r.experiment_id, r.user_id, r.status, r.start_time, r.end_time,"
    " r.artifact_uri, r.lifecycle_stage"
)
# MLflow has rules of its own for runs that lack one of these.
_WHOLE = "r.name <> '' AND r.user_id IS NOT NULL AND r.start_time IS NOT NULL"
_TAGS = "unnest(%(keys)s::text[], %(values)s::text[]) AS n(key, value)"

CREATE = Statement(f"""WITH place AS MATERIALIZED (
    SELECT e.experiment_id, e.artifact_location || '/' || %(run)s || '/artifacts' AS uri
    FROM experiments e
    WHERE e.experiment_id = %(in_experiment)s AND e.lifecycle_stage = 'active'
    AND e.artifact_location ~ %(plain)s AND {allowed("e.experiment_id")}
), run AS (
    INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status,
        start_time, source_version, lifecycle_stage, artifact_uri, experiment_id)
    SELECT %(run)s, %(name)s, 'UNKNOWN', '', '', %(user)s, 'RUNNING', %(start_time)s, '', 'active',
        place.uri, place.experiment_id
    FROM place RETURNING artifact_uri
), tag AS (
    INSERT INTO tags (key, value, run_uuid)
    SELECT n.key, n.value, %(run)s FROM place CROSS JOIN {_TAGS}
) SELECT artifact_uri FROM run""")  # noqa: S608  constants only
_UPDATE = f"""WITH r AS (
    UPDATE runs r SET status = coalesce(%(status)s, r.status),
        end_time = coalesce(%(end_time)s, r.end_time), name = coalesce(%(name)s, r.name)
    WHERE r.run_uuid = %(run)s AND r.lifecycle_stage = 'active' AND {_WHOLE}
    AND {allowed("r.experiment_id")} RETURNING r.*
){{tag}} SELECT {_INFO} FROM r"""  # noqa: S608  constants only
UPDATE = Statement(_UPDATE.format(tag=""))
RENAME = Statement(
    _UPDATE.format(
        tag=""", tag AS (
    INSERT INTO tags (key, value, run_uuid) SELECT %(key)s, %(name)s, r.run_uuid FROM r
    ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value)"""
    )
)
GET = Statement(f"""SELECT {_INFO},
    (SELECT {run_json.METRICS} FROM latest_metrics WHERE run_uuid = %(run)s),
    (SELECT {run_json.PARAMS} FROM params WHERE run_uuid = %(run)s),
    (SELECT {run_json.TAGS} FROM tags WHERE run_uuid = %(run)s),
    (SELECT {run_json.DATASETS} FROM inputs JOIN datasets ON source_id = dataset_uuid
        WHERE destination_type = 'RUN' AND destination_id = %(run)s)
FROM runs r WHERE r.run_uuid = %(run)s AND {_WHOLE} AND {allowed("r.experiment_id")}
AND NOT EXISTS (SELECT FROM inputs
    WHERE source_type IN ('RUN_INPUT', 'RUN_OUTPUT') AND source_id = %(run)s)""")  # noqa: S608  constants only

_encode = json.JSONEncoder(separators=(",", ":")).encode


def _info(row: tuple[Any, ...]) -> dict[str, Any]:
    """Return what an answer holds of a run, as MLflow's message `RunInfo`."""
    run, name, experiment, user, status, start_time, end_time, artifact_uri, stage = row
    info = {
        "run_uuid": run,
        "experiment_id": str(experiment),
        "run_name": name,
        "user_id": user,
        "status": status,
        "start_time": start_time,
        "end_time": end_time,
        "artifact_uri": artifact_uri,
        "lifecycle_stage": stage,
        "run_id": run,
    }
    for field in ("end_time", "artifact_uri"):
        if not info[field]:
            del info[field]
    return info


async def create(database: Database, creation: Creation, ticket: Ticket) -> bytes | None:
    """Create a run; return the answer, None if nothing was done."""
    run = uuid.uuid4().hex
    name = creation.name or _generate_random_name()
    tags = {**creation.tags, MLFLOW_RUN_NAME: name}
    values = {
        "run": run,
        "name": name,
        "in_experiment": creation.experiment,
        "user": creation.user,
        "start_time": creation.start_time,
        "plain": PLAIN_LOCATION,
        "keys": array(tags),
        "values": array(tags.values()),
        **ticket.values(),
    }
    row = await database.first(CREATE, values)
    if row is None:
        return None
    info = _info((
        *(run, name, creation.experiment, creation.user, "RUNNING", creation.start_time, None),
        *(row[0], "active"),
    ))  # fmt: skip
    data = {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
    return _encode({"run": {"info": info, "data": data, "inputs": {}}}).encode()


async def update(database: Database, update: Update, ticket: Ticket) -> bytes | None:
    """Change a run; return the answer, None if nothing was done."""
    values = {
        "run": update.run,
        "status": update.status,
        "end_time": update.end_time,
        "name": update.name,
        "key": MLFLOW_RUN_NAME,
        **ticket.values(),
    }
    row = await database.first(RENAME if update.name else UPDATE, values)
    return _encode({"run_info": _info(row)}).encode() if row else None


async def get(database: Database, lookup: Lookup, ticket: Ticket) -> bytes | None:
    """Return a run as an answer, None if MLflow is to answer."""
    row = await database.first(GET, {"run": lookup.run, **ticket.values()})
    if row is None:
        return None
    *info, metrics, params, tags, datasets = row
    data = ",".join(
        f'"{name}":{written}'
        for name, written in (("metrics", metrics), ("params", params), ("tags", tags))
        if written
    )
    inputs = f'"dataset_inputs":{datasets}' if datasets else ""
    return (
        f'{{"run":{{"info":{_encode(_info(tuple(info)))},"data":{{{data}}},'
        f'"inputs":{{{inputs}}},"outputs":{{}}}}}}'
    ).encode()
