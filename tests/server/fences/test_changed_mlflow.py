"""With a changed MLflow, optional patches are left out and required ones stop the server."""

from __future__ import annotations

import re
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.tracking_server import deployed_server, installed, unpatched_server

from .changed_mlflow import add_column, add_field, add_middleware, change, link_package

if TYPE_CHECKING:
    from pathlib import Path

    import requests

    from tests.postgres import Cluster
    from tests.tracking_server import Server

EX_CONFIG = 78
LEFT_OUT = re.compile(r"Patch (\w+) is left out: ")
# What the changes below concern.
CHANGED = {"messages", "run_search", "hot_routes", "flask_shortcut", "user_lookup"}
QUESTIONS: list[dict[str, Any]] = [
    {"experiment_ids": ["0"]},
    {"experiment_ids": ["0"], "max_results": 1},
    {"experiment_ids": ["0"], "filter": "params.p = '1'"},
    {"experiment_ids": ["0"], "filter": "not a filter"},
]


def changed_mlflow(target: Path) -> Path:
    """MLflow with a further column, field and middleware, and with functions of other forms."""
    root = link_package(target)
    add_column(root, "SqlParam")
    add_field(root, "Param")
    change(root / "mlflow/entities/run_data.py", "ProtoParam(key=key,", MARK)
    add_middleware(root)
    store = root / "mlflow/store/tracking/sqlalchemy_store.py"
    change(store, "_get_run_inputs", "_read_run_inputs")
    change(root / "mlflow/utils/proto_json_utils.py", "def message_to_json(\n    message,", MORE)
    users = root / "mlflow/server/auth/sqlalchemy_store.py"
    change(
        users, "def get_user(self, username: str)", "def get_user(self, username: str, new=None)"
    )
    return root


MARK = 'ProtoParam(comment="new", key=key,'
MORE = "def message_to_json(\n    message,\n    new=None,"


def log_run(server: Server) -> None:
    session = server.session()

    def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = session.post(f"{server.url}/api/2.0/mlflow/{path}", json=body, timeout=60)
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json()
        return found

    run = post("runs/create", {"experiment_id": "0", "start_time": 1, "run_name": "one"})
    run_id = run["run"]["info"]["run_id"]
    metric = {"key": "whole", "value": 1, "timestamp": 1, "step": 0}
    post("runs/log-batch", {"run_id": run_id, "metrics": [metric]})
    post("runs/log-parameter", {"run_id": run_id, "key": "p", "value": "1"})


def answer(server: Server, body: dict[str, Any]) -> requests.Response:
    url = f"{server.url}/api/2.0/mlflow/runs/search"
    return server.session().post(url, json=body, timeout=60)


def same_answers(ours: Server, stock: Server) -> None:
    """Both write the same bytes."""
    for body in QUESTIONS:
        mine, theirs = answer(ours, body), answer(stock, body)
        assert (mine.status_code, mine.text) == (theirs.status_code, theirs.text)
        assert mine.headers.get("X-Marked") == theirs.headers.get("X-Marked")


def both(
    servers: ExitStack, cluster: Cluster, tmp_path: Path, environ: dict[str, str], **variables: Any
) -> tuple[Server, Server]:
    """Start a server of the role's and one of MLflow's on one database."""
    name = tmp_path.name.replace("-", "_").lower()[:40]
    cluster.execute(f'CREATE DATABASE "{name}"')
    for directory in ("ours", "stock"):
        (tmp_path / directory).mkdir()
    ours = deployed_server(cluster, name, tmp_path / "ours", environ, mlflow_workers=1, **variables)
    started = servers.enter_context(ours)
    if environ:
        cluster.execute("ALTER TABLE params ADD COLUMN comment varchar(50)", name)
    stock = unpatched_server(cluster, name, tmp_path / "stock", environ)
    log_run(started)
    return started, servers.enter_context(stock)


def left_out(tmp_path: Path) -> list[str]:
    return sorted(LEFT_OUT.findall((tmp_path / "ours/log").read_text()))


@pytest.mark.slow
def test_server_changed_mlflow_answers_as_stock(cluster: Cluster, tmp_path: Path) -> None:
    changed = changed_mlflow(tmp_path / "changed")

    with ExitStack() as servers:
        ours, stock = both(servers, cluster, tmp_path, {"PYTHONPATH": str(changed)})
        same_answers(ours, stock)
        assert '"comment": "new"' in answer(ours, QUESTIONS[0]).text
        assert answer(ours, QUESTIONS[0]).headers["X-Marked"] == "yes"

    # One line each, however many workers there are.
    assert left_out(tmp_path) == sorted(CHANGED)


@pytest.mark.slow
def test_server_without_optional_patches_answers_as_stock(cluster: Cluster, tmp_path: Path) -> None:
    with ExitStack() as servers:
        ours, stock = both(servers, cluster, tmp_path, {}, mlflow_patches=[])
        same_answers(ours, stock)

    assert left_out(tmp_path) == []


def test_server_required_patch_that_does_not_fit_refuses(cluster: Cluster, tmp_path: Path) -> None:
    host = installed(cluster, "postgres", tmp_path)
    root = link_package(tmp_path / "changed")
    file = root / "mlflow/webhooks/delivery.py"
    change(file, "def _create_webhook_session(", "def _make_webhook_session(")

    done = subprocess.run(
        [*host.command, "serve", "--workers=1"],
        env=host.settings | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == EX_CONFIG
    assert "Patch destinations is required and does not fit" in done.stderr
    assert "make lock MLFLOW=<version>" in done.stderr
