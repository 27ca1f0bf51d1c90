"""Requests for the hot routes: those of MLflow's client, those at a limit, and invalid ones."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

# Stands for a run's id, which differs between the servers.
RUN = "<run>"
ADMIN, EDITOR, READER, WRONG = "admin", "editor", "reader", "wrong password"


@dataclass(frozen=True)
class Request:
    """A request, whose ids of runs are to be filled in.

    Attributes
    ----------
    route
        The path's end.
    body
        JSON, or anything else.
    query
        What follows the path, for a request without a body.
    user
        Who asks.
    kind
        The content type.
    """

    route: str
    body: str = ""
    query: str = ""
    user: str = ADMIN
    kind: str | None = "application/json"


@dataclass(frozen=True)
class Grant:
    """A change of what the editor may do in the experiment; None takes a permission away."""

    permission: str | None


@dataclass(frozen=True)
class Crowd:
    """Requests at once, whose order makes no difference afterwards."""

    requests: list[Request] = field(default_factory=list)


def mostly(usual: st.SearchStrategy[Any], *odd: Any) -> st.SearchStrategy[Any]:
    """Return a usual value, and an odd one now and then: limits come more often than others."""
    return st.integers(0, 29).flatmap(lambda roll: st.sampled_from(odd) if roll == 17 else usual)


KEYS = mostly(
    st.sampled_from(["loss", "acc", "val/acc", "a b", "ñ:≤", "x" * 250]),
    *("", "x" * 251, "../up", "a//b", ".", "#", "a\0b", "\ud800", 5, None, True, ["loss"]),
)
NUMBERS = mostly(
    st.one_of(
        st.sampled_from([0, 1, -1, 0.5, 1.0, -0.0, 1e15, 1e22, 5e-324, 1.7976931348623157e308]),
        st.sampled_from(["NaN", "Infinity", "-Infinity"]),
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(-(2**54), 2**54),
    ),
    *("1.5", "", "x", True, None, [], {}, float("nan"), float("inf"), 10**400, "nan"),
)
TIMES = mostly(st.integers(0, 3), -1, 2**63 - 1, 2**63, 1.0, 1.5, "2", None, True, "", 10**30)  # noqa: FBT003  a value of JSON
STEPS = mostly(st.integers(-1, 2), -(2**63), 2**63 - 1, 2**63, 2.0, 0.5, "1", None, "x", False)  # noqa: FBT003  a value of JSON
VALUES = mostly(
    st.one_of(st.sampled_from(["1", "2", "", "x\\y'\"\n\t"]), st.text(max_size=20)),
    *("v" * 6000, "v" * 6001, "v" * 8000, "v" * 8001, "a\0", "\udfff", 1, None, True, {}),
)
RUNS = mostly(st.just(RUN), "0" * 32, "", "missing", "a b", "x" * 33, 5, None, f"{RUN}\n", [RUN])
NAMES = mostly(
    st.sampled_from(["a name", "another"]), "", "n" * 250, "n" * 251, None, 3, "a\0", " "
)
TAG_KEYS = mostly(KEYS, "mlflow.runName", "mlflow.user", "mlflow.note.content")
MISSING = object()
# No field takes them all; they have no hash either.
CONTAINERS: tuple[Any, ...] = ([], [None], {"a": {"b": 1}})


def some(optional: dict[str, Any], required: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects with fields that are missing or unknown now and then."""
    rare = {name: mostly(value, MISSING, *CONTAINERS) for name, value in required.items()}
    rarer = {name: mostly(value, *CONTAINERS) for name, value in optional.items()}
    odd = mostly(
        st.just({}),
        {"unknown": 1},
        {"run_uuid": RUN},
        {"run_uuid": "other"},
        {"runId": RUN},
        {"model_id": ""},
        {"model_id": "m-1"},
        {"dataset_name": "d"},
    )
    fields = st.fixed_dictionaries(rare, optional=rarer)
    return st.tuples(fields, odd).map(
        lambda pair: {
            name: value for name, value in {**pair[0], **pair[1]}.items() if value is not MISSING
        }
    )


METRIC = some({"step": STEPS}, {"key": KEYS, "value": NUMBERS, "timestamp": TIMES})
PARAM = some({}, {"key": KEYS, "value": VALUES})
TAG = some({}, {"key": TAG_KEYS, "value": VALUES})


def _several(one: st.SearchStrategy[Any], most: int = 4) -> st.SearchStrategy[Any]:
    return mostly(st.lists(one, max_size=most), None, {}, "x", [None], [[]])


METRICS = mostly(
    _several(METRIC),
    [{"key": f"m{i}", "value": i, "timestamp": 1} for i in range(1000)],
    [{"key": f"m{i}", "value": i, "timestamp": 1} for i in range(1001)],
    [{"key": "loss", "value": "NaN", "timestamp": 1}] * 2,
    [{"key": "loss", "value": v, "timestamp": 1, "step": 1} for v in ("NaN", 0, 0.0, -0.0)],
)
PARAMS = mostly(_several(PARAM), [{"key": f"p{i}", "value": "1"} for i in range(101)])
TAGS = mostly(_several(TAG), [{"key": f"t{i}", "value": "1"} for i in range(100)])
CREATION = some(
    {
        "user_id": st.sampled_from(["ana", ""]),
        "run_name": NAMES,
        "tags": mostly(
            TAGS,
            [{"key": "mlflow.runName", "value": "a name"}],
            [{"key": "mlflow.runName", "value": "a name"}] * 2,
            [{"key": "mlflow.runName", "value": ""}],
        ),
    },
    {
        "experiment_id": mostly(st.just("<experiment>"), "0", "00", "999", "", "x", 0, None, "-1"),
        "start_time": TIMES,
    },
)
UPDATE = some(
    {
        "status": mostly(
            st.sampled_from(["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]),
            *("", "finished", 3, 99, None, "UNKNOWN"),
        ),
        "end_time": TIMES,
        "run_name": NAMES,
    },
    {"run_id": RUNS},
)
BODIES = {
    "log-metric": some(
        {"step": STEPS},
        {"run_id": RUNS, "key": KEYS, "value": NUMBERS, "timestamp": TIMES},
    ),
    "log-parameter": some({}, {"run_id": RUNS, "key": KEYS, "value": VALUES}),
    "set-tag": some({}, {"run_id": RUNS, "key": TAG_KEYS, "value": VALUES}),
    "log-batch": some({"metrics": METRICS, "params": PARAMS, "tags": TAGS}, {"run_id": RUNS}),
    "update": UPDATE,
    "create": CREATION,
}
# Even 300 requests have some of the last two.
USERS = st.sampled_from([*([ADMIN, EDITOR] * 10), READER, WRONG])
KINDS = mostly(
    st.just("application/json"),
    *("application/json; charset=utf-8", "text/plain", None, "application/json;charset=utf-16"),
)
# Other things than an object of JSON.
ODD_BODIES = st.sampled_from(
    [
        *("", "{", "null", "[]", "1", '"x"', '{"run_id": NaN}', "{}", "\ufeff{}", "[" * 5000),
        json.dumps(json.dumps({"run_id": RUN, "key": "k", "value": "v"})),
        f'{{"run_id": "other", "run_id": "{RUN}", "key": "twice", "value": "v"}}',
        f'{{"run_id": "{RUN}", "key": "n", "value": 1e999, "timestamp": 1}}',
        f'{{"run_id": "{RUN}", "key": "n", "value": 1E2, "timestamp": 1, "timestamp": 2}}',
    ]
)
QUERIES = mostly(
    st.sampled_from(
        [f"run_id={RUN}", f"run_uuid={RUN}&run_id={RUN}", f"run_id={RUN}&run_uuid={RUN}"]
    ),
    *("", "run_id=", f"run_uuid={RUN}", f"run_id={RUN}&run_id={RUN}", "run_id=missing"),
    *(f"run_id={RUN}&x=1", "run_id=%00", f"runId={RUN}", f"run_id={RUN}&run_uuid=other", f"{RUN}"),
)


@st.composite
def posts(draw: st.DrawFn) -> Request:
    """Return a request with a body."""
    route = draw(st.sampled_from(sorted(BODIES)))
    body = draw(mostly(BODIES[route].map(json.dumps), None))
    if body is None:
        body = draw(ODD_BODIES)
    return Request(route, body, user=draw(USERS), kind=draw(KINDS))


GETS = st.builds(lambda query, user: Request("get", query=query, user=user), QUERIES, USERS)


def _crowd(kind: str, keys: list[str]) -> Crowd:
    """Return requests that log the same key or different ones, at once."""
    bodies: list[tuple[str, dict[str, Any]]] = []
    for place, key in enumerate(keys):
        if kind == "metrics":
            metrics = [
                {"key": one, "value": place, "timestamp": place, "step": place}
                for one in sorted({key, "shared"})
            ]
            bodies.append(("log-batch", {"run_id": RUN, "metrics": metrics}))
        elif kind == "params":
            bodies.append(("log-parameter", {"run_id": RUN, "key": f"p/{key}", "value": key}))
        else:
            bodies.append(("set-tag", {"run_id": RUN, "key": f"t/{key}", "value": key}))
    return Crowd([Request(route, json.dumps(body)) for route, body in bodies])


CROWDS = st.builds(
    _crowd,
    st.sampled_from(["metrics", "params", "tags"]),
    # MLflow refuses one of two that set the same tag for the first time.
    st.lists(st.sampled_from("abcdef"), min_size=2, max_size=6, unique=True),
)
GRANTS = st.sampled_from([None, "EDIT", "READ", "MANAGE"]).map(Grant)
LIFECYCLE = st.sampled_from(["delete", "restore"]).map(
    lambda route: Request(route, json.dumps({"run_id": RUN}))
)
STEPS_OF_A_RUN = st.integers(0, 39).flatmap(
    lambda roll: {11: CROWDS, 13: GRANTS, 17: LIFECYCLE, 19: LIFECYCLE}.get(
        roll, GETS if roll < 9 else posts()
    )
)
