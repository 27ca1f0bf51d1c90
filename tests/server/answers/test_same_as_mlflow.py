"""The server answers every request as `mlflow server` of the same release does, to the type.

Both servers get the same requests in the same order, each on a database of its own. Status, content
type and the shape of the answer are compared: names of fields, and the types of their values.
"""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.postgres import running_cluster
from tests.tracking_server import (
    Server,
    deployed_server,
    of_optional_patches,
    unpatched_server,
)
from tests.tracking_server.routes import routes as routes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

WITH_BODY = {"POST", "PUT", "PATCH", "DELETE"}
# Paths whose answers differ on purpose, as regular expressions, and why.
DIFFERENT = {
    # What a process counts, and when.
    r"/metrics": "counters",
    # The catalogue of models is fetched from the internet, which tests do without.
    r"/(ajax-)?api/3\.0/mlflow/gateway/supported-models": "internet",
    # docs/features.md
    r"/(ajax-)?api/3\.0/?mlflow/(genai/evaluate|(issues|scorer)/invoke|prompt-optimization/jobs)"
    "": "no jobs",
}
# Values that MLflow answers 500 to.
INVALID: list[tuple[str, str, Any]] = [
    ("POST", "2.0/mlflow/experiments/create", [1]),
    ("POST", "2.0/mlflow/runs/log-batch", "x"),
    ("POST", "2.0/mlflow/runs/set-tag", {"run_id": "a\0b", "key": "k", "value": "v"}),
    ("GET", "2.0/mlflow/runs/get?run_id=a%00b", None),
    ("GET", "2.0/mlflow/traces?experiment_ids=x", None),
    ("GET", "2.0/mlflow/registered-models/search?page_token=%E2%80%AE", None),
]
# What our answer to them has.
FIELDS = {"error_code", "message", "sqlstate", "error_class"}
BEARER = "Bearer eyJhbGciOiJIUzI1NiJ9"
# What a client does, in this order. The text in braces is found in an earlier answer.
STORY: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "experiments/create", {"name": "story", "tags": [{"key": "a", "value": "b"}]}),
    ("GET", "experiments/get?experiment_id={experiment_id}", {}),
    ("GET", "experiments/get-by-name?experiment_name=story", {}),
    ("POST", "experiments/search", {"max_results": 10}),
    ("GET", "experiments/search?max_results=10", {}),
    (
        "POST",
        "runs/create",
        {"experiment_id": "{experiment_id}", "start_time": 1, "run_name": "first", "tags": []},
    ),
    (
        "POST",
        "runs/log-batch",
        {
            "run_id": "{run_id}",
            "metrics": [
                {"key": "whole", "value": 1, "timestamp": 1, "step": 0},
                {"key": "part", "value": 0.5, "timestamp": 1, "step": 1},
                {"key": "nan", "value": "NaN", "timestamp": 1, "step": 1},
                {"key": "inf", "value": "Infinity", "timestamp": 1, "step": 1},
            ],
            "params": [{"key": "p", "value": "1"}],
            "tags": [{"key": "t", "value": ""}],
        },
    ),
    (
        "POST",
        "runs/log-inputs",
        {
            "run_id": "{run_id}",
            "datasets": [
                {
                    "tags": [{"key": "mlflow.data.context", "value": "training"}],
                    "dataset": {
                        "name": "d",
                        "digest": "1",
                        "source_type": "local",
                        "source": "x",
                        "schema": "{}",
                        "profile": "{}",
                    },
                }
            ],
        },
    ),
    ("GET", "runs/get?run_id={run_id}", {}),
    ("GET", "metrics/get-history?run_id={run_id}&metric_key=whole", {}),
    ("GET", "metrics/get-history?run_id={run_id}&metric_key=nan&max_results=1", {}),
    ("POST", "runs/search", {"experiment_ids": ["{experiment_id}"]}),
    ("POST", "runs/search", {"experiment_ids": ["{experiment_id}"], "max_results": 1}),
    ("POST", "runs/search", {"experiment_ids": ["{experiment_id}"], "filter": "metrics.part < 1"}),
    ("POST", "runs/search", {"experiment_ids": ["{experiment_id}"], "filter": "params.p = '2'"}),
    ("POST", "runs/search", {"experiment_ids": ["{experiment_id}"], "filter": "no filter"}),
    ("POST", "runs/search", {"experiment_ids": "{experiment_id}"}),
    ("POST", "runs/search", {"experiment_ids": ["{experiment_id}"], "max_results": -1}),
    ("GET", "runs/search?experiment_ids={experiment_id}", {}),
    ("POST", "runs/log-metric", {"run_id": "{run_id}", "key": "m", "value": 3, "timestamp": 1}),
    ("POST", "runs/log-metric", {"run_id": "{run_id}", "key": "m", "value": "x", "timestamp": 1}),
    ("POST", "runs/log-metric", {"run_id": "nothing", "key": "m", "value": 3, "timestamp": 1}),
    ("POST", "runs/log-parameter", {"run_id": "{run_id}", "key": "p", "value": "2"}),
    ("POST", "runs/set-tag", {"run_id": "{run_id}", "key": "k", "value": "v"}),
    ("GET", "artifacts/list?run_id={run_id}", {}),
    ("POST", "runs/update", {"run_id": "{run_id}", "status": "FINISHED", "end_time": 9}),
    ("POST", "registered-models/create", {"name": "model", "tags": [{"key": "a", "value": "b"}]}),
    ("POST", "registered-models/create", {"name": "model"}),
    (
        "POST",
        "model-versions/create",
        {"name": "model", "source": "mlflow-artifacts:/1/x", "run_id": "{run_id}"},
    ),
    ("POST", "registered-models/alias", {"name": "model", "alias": "champion", "version": "1"}),
    ("GET", "registered-models/get?name=model", {}),
    ("GET", "registered-models/search", {}),
    ("GET", "registered-models/alias?name=model&alias=champion", {}),
    ("GET", "model-versions/get?name=model&version=1", {}),
    ("GET", "model-versions/search?filter=name%3D'model'", {}),
    ("POST", "registered-models/get-latest-versions", {"name": "model"}),
    ("POST", "logged-models", {"experiment_id": "{experiment_id}", "name": "logged"}),
    ("POST", "logged-models/search", {"experiment_ids": ["{experiment_id}"]}),
    ("POST", "runs/delete", {"run_id": "{run_id}"}),
    (
        "POST",
        "runs/search",
        {"experiment_ids": ["{experiment_id}"], "run_view_type": "DELETED_ONLY"},
    ),
    ("POST", "experiments/delete", {"experiment_id": "{experiment_id}"}),
    ("POST", "experiments/search", {"view_type": "ALL"}),
]


def shape(value: Any) -> Any:
    """Return what a JSON value is made of, without the values."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(shape(one), sort_keys=True) for one in value})
    return type(value).__name__


def answer_of(response: requests.Response) -> dict[str, Any]:
    """Return what is compared of an answer."""
    content: Any = response.text
    kind = response.headers.get("Content-Type", "")
    if kind.startswith("application/json") and response.content:
        # An error's message names ids that differ.
        content = shape(response.json())
    elif kind.startswith("text/html"):
        content = "page"
    names = ("Content-Type", "Allow", "WWW-Authenticate", "Content-Disposition")
    headers = {name: response.headers.get(name) for name in names}
    if headers["Allow"]:
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
    return {"status": response.status_code, **headers, "content": content}


@dataclass
class Pair:
    """A server of the role and one of MLflow's, and what a client remembers of each."""

    servers: tuple[Server, Server]
    found: tuple[dict[str, str], dict[str, str]] = field(default_factory=lambda: ({}, {}))

    def ask(
        self, method: str, path: str, *, login: str | None = None, body: Any = None, **headers: str
    ) -> list[dict[str, Any]]:
        """Ask both; by default in the administrator's name, and without a login for ''."""
        answers = []
        for server, found in zip(self.servers, self.found, strict=True):
            session = server.session(login)
            if login == "":
                del session.headers["Authorization"]
            response = session.request(
                method,
                server.url + self.fill(path, found),
                json=None if body is None else json.loads(self.fill(json.dumps(body), found)),
                headers=headers,
                timeout=60,
                allow_redirects=False,
            )
            for name in ("experiment_id", "run_id"):
                if match := re.search(rf'"{name}": ?"([^"]+)"', response.text):
                    found.setdefault(name, match.group(1))
            answers.append(answer_of(response))
        return answers

    @staticmethod
    def fill(text: str, found: dict[str, str]) -> str:
        """Replace the names of what was found."""
        for name, value in found.items():
            text = text.replace(f"{{{name}}}", value)
        return text


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, version: str) -> Iterator[Pair]:
    with running_cluster() as cluster, ExitStack() as servers:
        cluster.execute("CREATE DATABASE role")
        cluster.execute("CREATE DATABASE mlflow")
        directory = tmp_path_factory.mktemp("role")
        ours = deployed_server(cluster, "role", directory, version=version, mlflow_workers=1)
        directory = tmp_path_factory.mktemp("mlflow")
        theirs = unpatched_server(cluster, "mlflow", directory, version=version)
        yield Pair((servers.enter_context(ours), servers.enter_context(theirs)))


@pytest.fixture(scope="module")
def routes(version: str) -> list[tuple[str, str]]:
    """Methods and paths of the release, each path with HEAD and OPTIONS, variable parts filled."""
    found = {(m, re.sub("[<{][^>}]*[>}]", "1", p)) for m, p in routes_of(version)}
    found |= {(method, path) for _, path in found for method in ("HEAD", "OPTIONS")}
    return sorted(found - {("GET", "/"), ("GET", "/1")})


def is_refusal(method: str, answer: dict[str, Any]) -> bool:
    """Return whether an answer says in MLflow's form that a value is invalid."""
    return (answer["status"], answer["Content-Type"]) == (400, "application/json") and (
        answer["content"] == "" if method == "HEAD" else answer["content"].keys() == FIELDS
    )


def differences(
    pair: Pair, routes: list[tuple[str, str]], **options: Any
) -> dict[str, list[dict[str, Any]]]:
    """Ask both for all routes; return the answers that differ."""
    found = {}
    for method, path in routes:
        if any(re.fullmatch(known, path) for known in DIFFERENT):
            continue
        body: Any = {} if method in WITH_BODY else None
        ours, theirs = pair.ask(method, path, body=body, **options)
        # The patch `invalid_requests`, see `test_values_that_mlflow_fails_on_are_invalid`.
        is_intended = theirs["status"] == 500 and is_refusal(method, ours)
        if ours != theirs and not is_intended:
            found[f"{method} {path}"] = [ours, theirs]
    return found


def test_story_is_told_as_by_mlflow(pair: Pair) -> None:
    for method, path, body in STORY:
        ours, theirs = pair.ask(method, f"/api/2.0/mlflow/{path}", body=body or None)
        assert (path, ours) == (path, theirs)


@of_optional_patches
@pytest.mark.parametrize(("method", "path", "body"), INVALID)
def test_values_that_mlflow_fails_on_are_invalid(
    pair: Pair, method: str, path: str, body: Any
) -> None:
    ours, theirs = pair.ask(method, f"/api/{path}", body=body)
    assert theirs["status"] == 500
    assert is_refusal(method, ours), ours


@pytest.mark.slow
def test_route_answers_administrator_as_mlflow_does(
    pair: Pair, routes: list[tuple[str, str]]
) -> None:
    assert len(routes) > 1000
    assert differences(pair, routes) == {}


@pytest.mark.slow
def test_route_answers_nobody_as_mlflow_does(pair: Pair, routes: list[tuple[str, str]]) -> None:
    own = [(method, path) for method, path in routes if method not in {"HEAD", "OPTIONS"}]
    assert differences(pair, own, login="") == {}


@pytest.mark.slow
def test_route_answers_bearer_as_mlflow_does_but_never_500(
    pair: Pair, routes: list[tuple[str, str]]
) -> None:
    own = [(method, path) for method, path in routes if method not in {"HEAD", "OPTIONS"}]
    different = differences(pair, own, login=BEARER)
    # MLflow's login fails on it where Flask answers.
    assert {(ours["status"], theirs["status"]) for ours, theirs in different.values()} <= {
        (401, 500)
    }
