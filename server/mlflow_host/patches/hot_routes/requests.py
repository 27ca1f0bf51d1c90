"""Read a request of a hot route, if it is in the plain form that MLflow's own client sends.

Names and values are checked by MLflow's own functions. Anything else that is not certainly valid
is an `UnknownFormError`: an unknown field, a number as a text, a value that MLflow would refuse.
MLflow answers such a request itself, so no error is written here.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from mlflow.exceptions import MlflowException
from mlflow.utils import validation
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow.entities import Param, RunTag

RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,31}", re.ASCII)
EXPERIMENT_ID = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
# The two names of a run's id, as MLflow's client sends them.
RUN_QUERY = re.compile(r"(?:run_uuid=([^&]*)&)?run_id=([^&]*)(?:&run_uuid=([^&]*))?", re.ASCII)
STATUSES = frozenset({"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"})
# JSON has no numbers for these; MLflow's client sends their names.
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
LARGEST = 1.7976931348623157e308
INT64 = range(-(1 << 63), 1 << 63)
# Larger integers are not exact as doubles.
EXACT = 1 << 53


class UnknownFormError(Exception):
    """The request is MLflow's to answer."""


class Metric(NamedTuple):
    """A metric as the tables hold it: not a number is 0, and infinity the largest number."""

    key: str
    value: float
    timestamp: int
    step: int
    is_nan: bool


@dataclass(frozen=True)
class Batch:
    """What is logged to a run."""

    run: str
    metrics: list[Metric] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Creation:
    """A run to be created; without a name it gets a random one."""

    experiment: int
    user: str
    start_time: int
    name: str
    tags: dict[str, str]


@dataclass(frozen=True)
class Update:
    """Changes of a run; None leaves a value as it is."""

    run: str
    status: str | None
    end_time: int | None
    name: str | None


@dataclass(frozen=True)
class Lookup:
    """A run to be returned."""

    run: str


def _fields(content: Any, *names: str) -> dict[str, Any]:
    """Return an object of JSON that has no other fields."""
    if type(content) is not dict or not content.keys() <= set(names):
        raise UnknownFormError
    return content


def _text(value: Any) -> str:
    # PostgreSQL has no text with a NUL.
    if type(value) is not str or "\0" in value:
        raise UnknownFormError
    return value


def _integer(value: Any) -> int:
    if type(value) is not int or value not in INT64:
        raise UnknownFormError
    return value


def _double(value: Any) -> float:
    kind = type(value)
    if kind is float and math.isfinite(value):
        # MLflow's statements have no zero with a sign.
        return value + 0.0
    if kind is int and -EXACT <= value <= EXACT:
        return float(value)
    if kind is str and value in NOT_FINITE:
        return NOT_FINITE[value]
    raise UnknownFormError


def _items(content: dict[str, Any], name: str, *fields: str) -> list[dict[str, Any]]:
    values = content.get(name, [])
    if type(values) is not list:
        raise UnknownFormError
    return [_fields(value, *fields) for value in values]


def _run(content: dict[str, Any]) -> str:
    """Return the run's id, which a client may send by two names."""
    run = content.get("run_id")
    if type(run) is not str or not RUN_ID.fullmatch(run) or content.get("run_uuid", run) != run:
        raise UnknownFormError
    return run


def _metric(content: dict[str, Any]) -> Metric:
    try:
        key, value = _text(content["key"]), _double(content["value"])
        timestamp, step = _integer(content["timestamp"]), _integer(content.get("step", 0))
    except KeyError as error:
        raise UnknownFormError from error
    if not key:
        raise UnknownFormError
    validation._validate_metric(key, value, timestamp, step)  # noqa: SLF001  MLflow's own rules
    if math.isnan(value):
        return Metric(key, 0.0, timestamp, step, is_nan=True)
    return Metric(key, max(-LARGEST, min(value, LARGEST)), timestamp, step, is_nan=False)


def _pair(content: dict[str, Any], check: Callable[[str, str], Param | RunTag]) -> Any:
    """Return a key and its value, cut as MLflow cuts it."""
    key, value = _text(content.get("key")), _text(content.get("value", ""))
    if not key:
        raise UnknownFormError
    return check(key, value)


def _tags(pairs: list[Any]) -> dict[str, str]:
    tags = {pair.key: pair.value for pair in pairs}
    # It renames the run.
    if MLFLOW_RUN_NAME in tags:
        raise UnknownFormError
    return tags


def _distinct(metrics: list[Metric]) -> list[Metric]:
    """Return the metrics without repetitions; MLflow takes no two values for the same NaN."""
    seen: set[Metric] = set()
    return [one for one in metrics if one.is_nan or not (one in seen or seen.add(one))]  # type: ignore[func-returns-value]


def log_metric(body: Any) -> Batch:
    """Read a request for `runs/log-metric`."""
    content = _fields(body, "run_id", "run_uuid", "key", "value", "timestamp", "step")
    return Batch(_run(content), metrics=[_metric(content)])


def log_parameter(body: Any) -> Batch:
    """Read a request for `runs/log-parameter`."""
    content = _fields(body, "run_id", "run_uuid", "key", "value")
    param = _pair(content, validation._validate_param)  # noqa: SLF001  MLflow's own rules
    return Batch(_run(content), params={param.key: param.value})


def set_tag(body: Any) -> Batch:
    """Read a request for `runs/set-tag`."""
    content = _fields(body, "run_id", "run_uuid", "key", "value")
    tag = _pair(content, validation._validate_tag)  # noqa: SLF001  MLflow's own rules
    return Batch(_run(content), tags=_tags([tag]))


def log_batch(body: Any) -> Batch:
    """Read a request for `runs/log-batch`."""
    content = _fields(body, "run_id", "metrics", "params", "tags")
    run = _run(content)
    sent = _items(content, "metrics", "key", "value", "timestamp", "step")
    metrics = [_metric(item) for item in sent]
    params = [
        _pair(item, validation._validate_param)  # noqa: SLF001  MLflow's own rules
        for item in _items(content, "params", "key", "value")
    ]
    tags = [
        _pair(item, validation._validate_tag)  # noqa: SLF001  MLflow's own rules
        for item in _items(content, "tags", "key", "value")
    ]
    validation._validate_batch_log_limits(metrics, params, tags)  # noqa: SLF001
    validation._validate_param_keys_unique(params)  # noqa: SLF001
    return Batch(run, _distinct(metrics), {one.key: one.value for one in params}, _tags(tags))


def create(body: Any) -> Creation:
    """Read a request for `runs/create`."""
    content = _fields(body, "experiment_id", "user_id", "start_time", "run_name", "tags")
    experiment = _text(content.get("experiment_id"))
    if not EXPERIMENT_ID.fullmatch(experiment):
        raise UnknownFormError
    pairs = [
        _pair(item, validation._validate_tag)  # noqa: SLF001  MLflow's own rules
        for item in _items(content, "tags", "key", "value")
    ]
    tags = {pair.key: pair.value for pair in pairs}
    name = _text(content.get("run_name", ""))
    # MLflow refuses two tags with one key, and two names.
    if len(tags) < len(pairs) or (
        MLFLOW_RUN_NAME in tags
        and (not tags[MLFLOW_RUN_NAME] or name not in {"", tags[MLFLOW_RUN_NAME]})
    ):
        raise UnknownFormError
    return Creation(
        int(experiment),
        _text(content.get("user_id", "")),
        _integer(content.get("start_time", 0)),
        name or tags.get(MLFLOW_RUN_NAME, ""),
        tags,
    )


def update(body: Any) -> Update:
    """Read a request for `runs/update`."""
    content = _fields(body, "run_id", "run_uuid", "status", "end_time", "run_name")
    status, end_time = content.get("status"), content.get("end_time")
    if "status" in content and _text(status) not in STATUSES:
        raise UnknownFormError
    if "end_time" in content and end_time is None:
        raise UnknownFormError
    return Update(
        _run(content),
        status,
        None if end_time is None else _integer(end_time),
        _text(content.get("run_name", "")) or None,
    )


def get(query: str) -> Lookup:
    """Read a request for `runs/get` from its query."""
    found = RUN_QUERY.fullmatch(query)
    if not found:
        raise UnknownFormError
    runs = {run for run in found.groups() if run is not None}
    if len(runs) > 1 or not RUN_ID.fullmatch(found[2]):
        raise UnknownFormError
    return Lookup(found[2])


def read(parse: Callable[[Any], Any], content: Any) -> Any:
    """Return what a request asks for, None if MLflow is to answer it.

    Parameters
    ----------
    parse
        One of the functions above.
    content
        What the body's JSON holds, or the query of a request without a body.
    """
    try:
        return parse(content)
    except (UnknownFormError, MlflowException, ValueError):
        return None
