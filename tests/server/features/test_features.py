"""Every feature of docs/features.md works, is refused until its variable is set, or is refused."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.listener import listening
from tests.postgres import running_cluster
from tests.tracking_server import (
    ADMIN,
    ADMIN_PASSWORD,
    Server,
    deployed_server,
    environment,
    of_optional_patches,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLIENT = Path(__file__).parent / "client.py"
WORKS = [
    *("runs", "logged_models", "registry", "prompts", "traces", "otlp", "feedback", "datasets"),
    *("evaluation", "scorers", "labels", "issues", "mcp_servers", "webhooks"),
]
AJAX = "ajax-api/3.0/mlflow"
# What starts jobs, as UI and client send it.
JOBS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", f"{AJAX}/genai/evaluate", {"experiment_id": "0", "trace_ids": ["tr-1"]}),
    ("POST", f"{AJAX}/issues/invoke", {"experiment_id": "0", "trace_ids": ["tr-1"]}),
    ("POST", f"{AJAX}/scorer/invoke", {"experiment_id": "0", "serialized_scorer": "{}"}),
    ("POST", "api/3.0/mlflow/prompt-optimization/jobs", {"experiment_id": "0"}),
    ("POST", f"{AJAX}/prompt-optimization/jobs", {"experiment_id": "0"}),
    (
        "PUT",
        "api/3.0/mlflow/scorers/online-config",
        {"experiment_id": "0", "name": "polite", "sample_rate": 0.5},
    ),
]


@dataclass(frozen=True)
class Run:
    """Features as a client has used them, by name; null, or what went wrong."""

    results: dict[str, str | None]


def use(server: Server, provider: str, *features: str) -> Run:
    """Use features by the client of the server's release, with its defaults."""
    done = subprocess.run(
        [environment(), CLIENT, *features],
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": server.url,
            "MLFLOW_TRACKING_USERNAME": ADMIN,
            "MLFLOW_TRACKING_PASSWORD": ADMIN_PASSWORD,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PROVIDER": provider,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Run(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Start a server with variables of the role, on a database of its own."""
    with ExitStack() as stack:
        cluster = stack.enter_context(running_cluster())

        def start(name: str, **variables: Any) -> Server:
            cluster.execute(f"CREATE DATABASE {name}")
            directory = tmp_path_factory.mktemp(name)
            return stack.enter_context(
                deployed_server(cluster, name, directory, mlflow_workers=1, **variables)
            )

        yield start


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """The address of somebody who answers as OpenAI does, on loopback."""
    with listening() as heard:
        yield f"{heard.url}/v1"


@pytest.fixture(scope="module")
def default(serve: Callable[..., Server]) -> Server:
    """A server with all variables as they come."""
    return serve("default_features")


@pytest.fixture(scope="module")
def used(default: Server, provider: str) -> Run:
    """Features, used on that server."""
    return use(default, provider, *WORKS, "gateway")


@pytest.fixture(scope="module")
def changed(serve: Callable[..., Server]) -> Server:
    """A server with the features on that are off, and without the gateway."""
    return serve("changed_features", mlflow_features=["workspaces"])


@pytest.mark.parametrize("feature", WORKS)
def test_feature_works(used: Run, feature: str) -> None:
    assert used.results[feature] is None, used.results[feature]


def test_gateway_refuses_private_addresses_and_plain_http(used: Run) -> None:
    assert used.results["gateway"] is not None
    assert "scheme" in (used.results["gateway"] or "")


def test_models_of_the_gateway_are_listed_without_a_call_to_elsewhere(default: Server) -> None:
    url = f"{default.url}/{AJAX}/gateway/supported-models"
    # By default MLflow downloads a list for each provider from GitHub. Without internet access
    # that takes minutes.
    answer = default.session().get(url, timeout=10)
    assert {"openai", "anthropic"} <= {model["provider"] for model in answer.json()["models"]}


@pytest.mark.parametrize("url", ["http://example.org/x", "https://127.0.0.1/x", "https://10.0.0.1"])
def test_webhook_to_a_private_address_or_without_tls_is_refused(default: Server, url: str) -> None:
    answer = default.session().post(
        f"{default.url}/api/2.0/mlflow/webhooks",
        json={
            "name": "hook",
            "url": url,
            "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}],
        },
    )
    assert answer.status_code == 400


@pytest.mark.slow
def test_gateway_works_with_allowed_destinations(
    serve: Callable[..., Server], provider: str
) -> None:
    server = serve("gateway", mlflow_allowed_destinations=["127.0.0.1/32"])
    result = use(server, provider, "gateway").results["gateway"]
    assert result is None, result
    config = server.session().get(f"{server.url}/{AJAX}/gateway/secrets/config").json()
    assert config == {"secrets_available": True, "using_default_passphrase": False}


@pytest.mark.slow
def test_gateway_is_refused_when_it_is_off(changed: Server) -> None:
    info = changed.session().get(f"{changed.url}/api/3.0/mlflow/server-info").json()
    assert info["features_enabled"] == {"gateway": False}
    answer = changed.session().post(
        f"{changed.url}/gateway/chat/mlflow/invocations", json={"messages": []}
    )
    assert "MLFLOW_ENABLE_AI_GATEWAY" in answer.text


def test_workspaces_are_refused_until_they_are_on(
    default: Server, changed: Server, provider: str
) -> None:
    info = default.session().get(f"{default.url}/api/3.0/mlflow/server-info").json()
    assert info["workspaces_enabled"] is False
    answer = default.session().get(f"{default.url}/api/3.0/mlflow/workspaces")
    assert answer.status_code == 503
    assert "without workspaces support" in answer.text
    result = use(changed, provider, "workspaces").results["workspaces"]
    assert result is None, result


@of_optional_patches
@pytest.mark.parametrize(("method", "path", "body"), JOBS)
def test_what_needs_jobs_is_refused_at_once(
    default: Server, method: str, path: str, body: dict[str, Any]
) -> None:
    session = default.session()
    before = session.post(
        f"{default.url}/api/2.0/mlflow/runs/search", json={"experiment_ids": ["0"]}
    ).json()
    answer = session.request(method, f"{default.url}/{path}", json=body)

    assert answer.status_code == 501
    assert answer.json()["error_code"] == "NOT_IMPLEMENTED"
    assert "runs no jobs" in answer.json()["message"]
    after = session.post(
        f"{default.url}/api/2.0/mlflow/runs/search", json={"experiment_ids": ["0"]}
    )
    assert after.json() == before
    anonymous = Server(default.url, default.process).session()
    assert anonymous.request(method, f"{default.url}/{path}", json=body).status_code == 401


def test_job_is_refused(default: Server) -> None:
    answer = default.session().post(
        f"{default.url}/ajax-api/3.0/jobs/", json={"job_name": "optimize_prompts", "params": {}}
    )
    assert answer.status_code == 500
    assert "job execution feature is not enabled" in answer.text


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "config"), ("POST", "skills/install"), ("POST", "message")]
)
def test_assistant_is_refused_behind_the_proxy(default: Server, method: str, path: str) -> None:
    body = {"message": "hello", "type": "global"}
    answer = default.session().request(
        method,
        f"{default.url}/{AJAX}/assistant/{path}",
        json=body,
        # As the proxy writes it.
        headers={"X-Forwarded-For": "192.0.2.1"},
    )
    assert answer.status_code == 403
    assert "only accessible from the same host" in answer.text


def test_demo_can_be_made_and_removed(default: Server) -> None:
    session = default.session()
    made = session.post(f"{default.url}/{AJAX}/demo/generate", json={"features": ["prompts"]})
    assert made.ok, made.text
    assert session.post(f"{default.url}/{AJAX}/demo/delete", json={}).ok


def test_prompt_lab_has_nothing_to_call(default: Server) -> None:
    answer = default.session().get(f"{default.url}/ajax-api/2.0/mlflow/gateway-proxy")
    assert answer.json() == {"endpoints": []}


def test_telemetry_is_off(default: Server) -> None:
    answer = default.session().get(f"{default.url}/ajax-api/3.0/mlflow/ui-telemetry")
    assert answer.json()["disable_ui_telemetry"] is True
