"""The values that a deployment has in the end: in PostgreSQL, in S3, and in answers of the API."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tests.load.client import digest, new_session, point, point_of, values_of
from tests.load.oracle import LATEST, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.load.client import Target
    from tests.load.oracle import Place

# Places whose values the answers of the API have; of metrics with their history, one is enough.
API_KINDS = frozenset({"run", "param", "tag", LATEST})
API_METRIC = "m1"
STATEMENTS = {
    "runs": "SELECT name, name FROM runs WHERE experiment_id = ANY(%s)",
    "metrics": (
        "SELECT run_uuid, key, step, timestamp, value FROM metrics"
        " JOIN runs USING (run_uuid) WHERE experiment_id = ANY(%s)"
    ),
    "latest": (
        "SELECT run_uuid, key, timestamp, value FROM latest_metrics"
        " JOIN runs USING (run_uuid) WHERE experiment_id = ANY(%s) AND key = 'm0'"
    ),
    "params": (
        "SELECT run_uuid, key, value FROM params"
        " JOIN runs USING (run_uuid) WHERE experiment_id = ANY(%s)"
    ),
    "tags": (
        "SELECT run_uuid, key, value FROM tags"
        " JOIN runs USING (run_uuid) WHERE experiment_id = ANY(%s) AND key NOT LIKE 'mlflow.%%'"
    ),
    "models": "SELECT name, name FROM registered_models WHERE name = ANY(%s)",
    "versions": (
        "SELECT name, value FROM model_version_tags WHERE key = 'operation' AND name = ANY(%s)"
    ),
    "aliases": "SELECT name, alias, version FROM registered_model_aliases WHERE name = ANY(%s)",
}


def in_database(cursor: Any, experiments: Sequence[str], models: Sequence[str]) -> State:
    """Return the state of experiments and models, from a cursor of MLflow's own role."""
    found: State = defaultdict(list)

    def rows(name: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        cursor.execute(STATEMENTS[name], (list(values),))
        yield from cursor.fetchall()

    numbers = [int(experiment) for experiment in experiments]
    for name, value in rows("runs", numbers):
        found["run", name].append(value)
    for run, key, step, timestamp, value in rows("metrics", numbers):
        found["metric", run, key, str(step)].append(point(timestamp, value))
    for run, key, timestamp, value in rows("latest", numbers):
        found[LATEST, run, key].append(point(timestamp, value))
    for run, key, value in rows("params", numbers):
        found["param", run, key].append(value)
    for run, key, value in rows("tags", numbers):
        found["tag", run, key].append(value)
    for name, value in rows("models", models):
        found["model", name].append(value)
    for name, operation in rows("versions", models):
        found["version", name, operation].append(operation)
    for name, alias, version in rows("aliases", models):
        found["alias", name, alias].append(str(version))
    return found


def in_bucket(s3: Any, bucket: str, experiments: Sequence[str]) -> State:
    """Return the checksum of each artifact."""
    found: State = {}
    pages = s3.get_paginator("list_objects_v2")
    for experiment in experiments:
        for page in pages.paginate(Bucket=bucket, Prefix=f"artifacts/{experiment}/"):
            for item in page.get("Contents", []):
                run, _, name = item["Key"].split("/", 2)[2].partition("/artifacts/")
                body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
                found["artifact", run, name] = [digest(body)]
    return found


def in_answers(target: Target, experiments: Sequence[str]) -> State:
    """Return the state of experiments as the tracking server answers it."""
    found: State = defaultdict(list)
    with new_session(target) as session:

        def ask(method: str, path: str, **options: Any) -> Any:
            url = f"{target.url}/api/2.0/mlflow/{path}"
            answer = session.request(method, url, timeout=60, **options)
            assert answer.ok, answer.text
            return answer.json()

        token: str | None = ""
        while token is not None:
            body = {"experiment_ids": list(experiments), "max_results": 100, "page_token": token}
            page = ask("POST", "runs/search", json=body)
            for run in page.get("runs", []):
                _add_run(found, run)
                query = {"run_id": run["info"]["run_id"], "metric_key": API_METRIC}
                history = ask("GET", "metrics/get-history", params=query)
                for metric in history.get("metrics", []):
                    place = ("metric", query["run_id"], API_METRIC, str(metric.get("step", 0)))
                    found[place].append(point_of(metric))
            token = page.get("next_page_token") or None
    return found


def _add_run(found: State, run: dict[str, Any]) -> None:
    info, data = run["info"], run["data"]
    run_id, name = info["run_id"], info["run_name"]
    found["run", name].append(name)
    for kind, key in (("param", "params"), ("tag", "tags")):
        for name, value in values_of(data.get(key, [])).items():
            if not name.startswith("mlflow."):
                found[kind, run_id, name].append(value)
    for metric in data.get("metrics", []):
        if metric["key"] == "m0":
            found[LATEST, run_id, "m0"].append(point_of(metric))


def is_in_answers(place: Place) -> bool:
    """Return whether `in_answers` has this place."""
    return place[0] in API_KINDS or (place[0] == "metric" and place[2] == API_METRIC)
