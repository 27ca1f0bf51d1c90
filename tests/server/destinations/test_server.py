"""Webhooks and the gateway of the server as the role runs it."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.listener import REDIRECTS, listening
from tests.tracking_server import deployed_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    from tests.listener import Listener
    from tests.postgres import Cluster
    from tests.tracking_server import Server

API = "api/2.0/mlflow"
EVENT = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
FORBIDDEN = [
    "https://127.0.0.1/x",
    "https://localhost/x",
    "https://0.0.0.0/x",
    "https://127.1/x",
    "https://2130706433/x",
    "https://10.0.0.1/x",
    "https://100.64.0.1/x",
    "https://169.254.169.254/latest/meta-data/",
    "https://224.0.0.1/x",
    "https://[::1]/x",
    "https://[::ffff:169.254.169.254]/x",
    "https://[fd00:ec2::254]/x",
    "https://[fe80::1]/x",
    "https://[fec0::1]/x",
    "https://[ff02::1]/x",
    "https://user:password@1.1.1.1/x",
    "http://1.1.1.1/x",
    "file:///etc/passwd",
    "gopher://127.0.0.1/x",
]
PUBLIC = "https://1.1.1.1/hook"


@pytest.fixture(scope="module")
def serve(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Server]]:
    """Start a server with variables of the role, on a database of its own."""
    with ExitStack() as stack:

        def start(name: str, **variables: Any) -> Server:
            cluster.execute(f"CREATE DATABASE {name}")
            return stack.enter_context(
                deployed_server(
                    cluster, name, tmp_path_factory.mktemp(name), mlflow_workers=1, **variables
                )
            )

        yield start


@pytest.fixture(scope="module")
def strict(serve: Callable[..., Server], version: str) -> Server:
    """A server with all variables as they come."""
    return serve(f"strict_{version.replace('.', '_')}", version=version)


@pytest.fixture(scope="module")
def listed(serve: Callable[..., Server], version: str) -> Server:
    """A server that is allowed to call one address of loopback."""
    return serve(
        f"listed_{version.replace('.', '_')}",
        version=version,
        mlflow_allowed_destinations=["127.0.0.1/32"],
    )


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    with listening() as heard:
        yield heard


def create(server: Server, url: str) -> requests.Response:
    body = {"name": f"hook-{uuid.uuid4().hex[:8]}", "url": url, "events": [EVENT]}
    return server.session().post(f"{server.url}/{API}/webhooks", json=body)


def created(server: Server, url: str) -> str:
    answer = create(server, url)
    assert answer.ok, answer.text
    webhook: str = answer.json()["webhook"]["webhook_id"]
    return webhook


def tried(server: Server, webhook: str) -> dict[str, Any]:
    answer = server.session().post(f"{server.url}/{API}/webhooks/{webhook}/test", json={})
    assert answer.ok, answer.text
    result: dict[str, Any] = answer.json()["result"]
    return result


@pytest.mark.parametrize("url", FORBIDDEN)
def test_webhook_to_a_forbidden_target_is_refused_at_creation_and_update(
    strict: Server, url: str
) -> None:
    webhook = created(strict, PUBLIC)
    changed = strict.session().patch(f"{strict.url}/{API}/webhooks/{webhook}", json={"url": url})

    assert create(strict, url).status_code == 400
    assert changed.status_code == 400


def test_webhook_whose_row_leads_to_a_forbidden_target_is_not_delivered(
    strict: Server, listener: Listener, cluster: Cluster, version: str
) -> None:
    """As after a name was rebound, or with a row of an earlier release."""
    webhook = created(strict, PUBLIC)
    url = listener.url.replace("http:", "https:")
    cluster.execute(
        f"UPDATE webhooks SET url = '{url}' WHERE webhook_id = '{webhook}'",  # noqa: S608  ours
        f"strict_{version.replace('.', '_')}",
    )
    before = len(listener.requests)
    result = tried(strict, webhook)

    assert not result.get("success")
    assert "not a public address" in result["error_message"]
    assert len(listener.requests) == before


def test_webhook_to_a_listed_target_is_delivered(listed: Server, listener: Listener) -> None:
    result = tried(listed, created(listed, f"{listener.url}/hook"))

    assert result["success"] is True, result
    assert listener.requests[-1][0] == "/hook"


def test_webhook_to_the_neighbour_of_a_listed_target_is_refused(listed: Server) -> None:
    assert create(listed, "https://127.0.0.2/x").status_code == 400
    assert create(listed, "http://1.1.1.1/x").status_code == 400
    assert create(listed, "https://169.254.169.254/x").status_code == 400


@pytest.mark.parametrize("path", sorted(REDIRECTS))
def test_webhook_redirect_is_not_followed(listed: Server, listener: Listener, path: str) -> None:
    before = len(listener.requests)
    result = tried(listed, created(listed, f"{listener.url}{path}"))

    assert not result.get("success")
    assert "redirect" in result["error_message"]
    assert [path for path, _, _ in listener.requests[before:]] == [path]


def gateway(server: Server, method: str, path: str, body: dict[str, Any]) -> requests.Response:
    return server.session().request(
        method, f"{server.url}/api/3.0/mlflow/gateway/{path}", json=body
    )


def secret(url: str) -> dict[str, Any]:
    return {
        "secret_name": f"secret-{uuid.uuid4().hex[:8]}",
        "secret_value": {"api_key": "sk-1"},
        "provider": "openai",
        "auth_config": {"api_base": url},
    }


@pytest.mark.parametrize("url", FORBIDDEN)
def test_gateway_base_url_of_a_forbidden_target_is_refused(
    strict: Server, url: str, version: str
) -> None:
    if version == "3.14.0":
        pytest.skip("serves no gateway behind a login")
    answer = gateway(strict, "POST", "secrets/create", secret(url))

    assert answer.status_code == 400, answer.text
    allowed = gateway(strict, "POST", "secrets/create", secret("https://1.1.1.1/v1"))
    assert allowed.ok, allowed.text
    changed = gateway(
        strict,
        "POST",
        "secrets/update",
        {
            "secret_id": allowed.json()["secret"]["secret_id"],
            "auth_config": {"api_base": url},
        },
    )
    assert changed.status_code == 400, changed.text


def test_gateway_provider_on_loopback_by_its_own_address_is_refused(
    strict: Server, version: str
) -> None:
    """Ollama's own address is one of loopback, whatever the secret says."""
    if version == "3.14.0":
        pytest.skip("serves no gateway behind a login")
    body = {"secret_name": uuid.uuid4().hex, "secret_value": {"api_key": "x"}, "provider": "ollama"}
    kept = gateway(strict, "POST", "secrets/create", body)
    assert kept.ok, kept.text
    model = gateway(
        strict,
        "POST",
        "model-definitions/create",
        {
            "name": uuid.uuid4().hex,
            "secret_id": kept.json()["secret"]["secret_id"],
            "provider": "ollama",
            "model_name": "test",
        },
    )
    assert model.ok, model.text
    name = f"chat-{uuid.uuid4().hex[:8]}"
    endpoint = gateway(
        strict,
        "POST",
        "endpoints/create",
        {
            "name": name,
            "model_configs": [
                {
                    "model_definition_id": model.json()["model_definition"]["model_definition_id"],
                    "linkage_type": "PRIMARY",
                    "weight": 1.0,
                }
            ],
            "usage_tracking": False,
        },
    )
    assert endpoint.ok, endpoint.text
    answer = strict.session().post(
        f"{strict.url}/gateway/{name}/mlflow/invocations",
        json={"messages": [{"role": "user", "content": "hello"}]},
    )

    assert answer.status_code == 502, answer.text
    assert "not a public IP" in answer.text


def test_gateway_key_is_not_read_from_the_environment(
    listed: Server, listener: Listener, version: str
) -> None:
    """CVE-2026-4035: a key that began with a dollar sign was read from the server's environment.

    https://nvd.nist.gov/vuln/detail/CVE-2026-4035
    """
    if version == "3.14.0":
        pytest.skip("serves no gateway behind a login")
    name = f"chat-{uuid.uuid4().hex[:8]}"
    key = "$MLFLOW_BACKEND_STORE_URI"
    kept = gateway(
        listed,
        "POST",
        "secrets/create",
        secret(f"{listener.url}/v1") | {"secret_value": {"api_key": key}},
    )
    if not kept.ok:
        assert kept.status_code == 400, kept.text
        return
    model = gateway(
        listed,
        "POST",
        "model-definitions/create",
        {
            "name": name,
            "secret_id": kept.json()["secret"]["secret_id"],
            "provider": "openai",
            "model_name": "test",
        },
    )
    linked = {
        "model_definition_id": model.json()["model_definition"]["model_definition_id"],
        "linkage_type": "PRIMARY",
        "weight": 1.0,
    }
    endpoint = gateway(
        listed,
        "POST",
        "endpoints/create",
        {"name": name, "model_configs": [linked], "usage_tracking": False},
    )
    assert endpoint.ok, endpoint.text
    heard = len(listener.requests)
    listed.session().post(
        f"{listed.url}/gateway/{name}/mlflow/invocations",
        json={"messages": [{"role": "user", "content": "hello"}]},
    )

    sent = [fields.get("authorization") for _, fields, _ in listener.requests[heard:]]
    assert set(sent) <= {f"Bearer {key}"}
