"""Secrets in the database outlive the server's process, its keys and a restored database."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import subprocess
from base64 import b64encode, urlsafe_b64encode
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet
from mlflow.utils import crypto

from tests.tracking_server import (
    EACH_VERSION,
    GATEWAY_PASSPHRASE,
    VERSION,
    WEBHOOK_KEY,
    Host,
    Server,
    deployed_server,
    environment,
    installed,
)

from .conftest import client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.listener import Listener
    from tests.postgres import Cluster

WEBHOOK_SECRET = "secret of the webhook"
API_KEY = "sk-key-of-the-provider"
OTHER_KEY = urlsafe_b64encode(b"another key of the webhooks 0123").decode()
OTHER_PASSPHRASE = "another-passphrase-of-the-gateway-0123456789"
OLD: dict[str, Any] = {
    "mlflow_webhook_keys": [WEBHOOK_KEY],
    "mlflow_gateway_passphrases": [GATEWAY_PASSPHRASE],
}
OTHER: dict[str, Any] = {
    "mlflow_webhook_keys": [OTHER_KEY],
    "mlflow_gateway_passphrases": [OTHER_PASSPHRASE],
}
ROTATED: dict[str, Any] = {
    "mlflow_webhook_keys": [OTHER_KEY, WEBHOOK_KEY],
    "mlflow_gateway_passphrases": [OTHER_PASSPHRASE, GATEWAY_PASSPHRASE],
}
DEFAULT_PASSPHRASE = crypto.DEFAULT_KEK_PASSPHRASE
# What the server does when it calls a provider.
DECRYPT = """
import sys
from mlflow.store.tracking.dbmodels.models import SqlGatewaySecret
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

store = SqlAlchemyStore(sys.argv[1], "mlflow-artifacts:/")
with store.ManagedSessionMaker() as session:
    ids = [row.secret_id for row in session.query(SqlGatewaySecret)]
keys = {store._get_decrypted_secret(secret)["api_key"] for secret in ids}
assert len(keys) == 1
print(keys.pop())
"""
# A webhook, and an endpoint of the gateway, whose secrets the server must be able to read.
CREATE = """
import json, sys
from mlflow import MlflowClient
from mlflow.entities import GatewayEndpointModelConfig, GatewayModelLinkageType
from mlflow.tracking._tracking_service.utils import _get_store

_, url, secret, key = sys.argv
webhook = MlflowClient().create_webhook(
    name="hook", url=url, events=["registered_model.created"], secret=secret
)
store = _get_store()
kept = store.create_gateway_secret(
    "provider", {"api_key": key}, provider="openai", auth_config={"api_base": url + "/v1"}
)
model = store.create_gateway_model_definition("model", kept.secret_id, "openai", "test")
config = GatewayEndpointModelConfig(
    model_definition_id=model.model_definition_id,
    linkage_type=GatewayModelLinkageType.PRIMARY,
    weight=1.0,
)
store.create_gateway_endpoint("chat", [config], usage_tracking=False)
print(json.dumps(webhook.webhook_id))
"""


def use_secrets(server: Server, listener: Listener) -> tuple[int, str]:
    """Deliver a webhook and call the gateway; return the status of both, or what was heard."""
    listener.requests.clear()
    session = server.session()
    hooks = session.get(f"{server.url}/api/2.0/mlflow/webhooks")
    if not hooks.ok:
        return hooks.status_code, chat(server, listener)
    webhook = hooks.json()["webhooks"][0]["webhook_id"]
    tested = session.post(f"{server.url}/api/2.0/mlflow/webhooks/{webhook}/test", json={})
    assert tested.json()["result"]["success"], tested.text
    _, headers, body = listener.requests[-1]
    signed = f"{headers['x-mlflow-delivery-id']}.{headers['x-mlflow-timestamp']}.{body.decode()}"
    wanted = hmac.new(WEBHOOK_SECRET.encode(), signed.encode(), hashlib.sha256).digest()
    assert headers["x-mlflow-signature"] == f"v1,{b64encode(wanted).decode()}"
    return tested.status_code, chat(server, listener)


def chat(server: Server, listener: Listener) -> str:
    """Call the gateway; return the key that the provider was given, or the error."""
    listener.requests.clear()
    answer = server.session().post(
        f"{server.url}/gateway/chat/mlflow/invocations",
        json={"messages": [{"role": "user", "content": "hello"}]},
    )
    if not answer.ok:
        return answer.text
    return listener.requests[-1][1]["authorization"].removeprefix("Bearer ")


def run_program(
    version: str, program: str, *arguments: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a program in the environment of a version of MLflow."""
    return subprocess.run(
        [environment(version=version), "-c", program, *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def decrypt(cluster: Cluster, database: str, passphrases: list[str], version: str) -> str:
    """Return the key that MLflow itself reads in the database, or the error."""
    done = run_program(
        version,
        DECRYPT,
        cluster.url(database),
        MLFLOW_CRYPTO_KEK_PASSPHRASE=passphrases[0],
        MLFLOW_CRYPTO_KEK_VERSION=str(len(passphrases) + 1),
    )
    return done.stdout.strip() or done.stderr


@pytest.fixture(scope="module")
def migrated(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with the present schema, to copy."""
    cluster.execute("CREATE DATABASE migrated")
    installed(cluster, "migrated", tmp_path_factory.mktemp("migrated")).apply()
    return "migrated"


@pytest.fixture
def database(cluster: Cluster, migrated: str, request: pytest.FixtureRequest) -> Iterator[str]:
    name = re.sub(r"\W", "_", request.node.name)[-60:].lower()
    cluster.execute(f"CREATE DATABASE {name} TEMPLATE {migrated}")
    yield name
    cluster.execute(f"DROP DATABASE {name} (FORCE)")


@pytest.fixture
def host(cluster: Cluster, database: str, tmp_path: Path) -> Host:
    """A host with keys that were rotated, and secrets in its database under older ones."""
    fill(cluster, database)
    return installed(cluster, database, tmp_path, **ROTATED)


def fill(cluster: Cluster, database: str) -> None:
    """Write secrets as earlier servers did, one of a webhook and three of the gateway."""
    fernet = Fernet(WEBHOOK_KEY)
    secret = fernet.encrypt(WEBHOOK_SECRET.encode()).decode()
    with closing(cluster.connect(database)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(
            "INSERT INTO webhooks (webhook_id, name, url, status, secret)"
            " VALUES ('w', 'hook', 'https://hook.test', 'ACTIVE', %s)",
            (secret,),
        )
        for name, passphrase, version in [
            ("default", DEFAULT_PASSPHRASE, 1),
            ("own", OTHER_PASSPHRASE, 1),
            ("before", GATEWAY_PASSPHRASE, 2),
        ]:
            manager = crypto.KEKManager(passphrase=passphrase, kek_version=version)
            kept = crypto._encrypt_secret({"api_key": API_KEY}, manager, name, name)
            cursor.execute(
                "INSERT INTO secrets (secret_id, secret_name, encrypted_value, wrapped_dek,"
                " kek_version, masked_value, created_at, last_updated_at)"
                " VALUES (%s, %s, %s, %s, %s, '{}', 1, 1)",
                (name, name, kept.encrypted_value, kept.wrapped_dek, kept.kek_version),
            )


def rows(cluster: Cluster, database: str) -> list[tuple[Any, ...]]:
    """Return what is encrypted."""
    found = cluster.execute("SELECT secret, status FROM webhooks", database)
    secrets = "SELECT secret_name, wrapped_dek::text, kek_version FROM secrets ORDER BY 1"
    return found + cluster.execute(secrets, database)


@pytest.mark.slow
@pytest.mark.parametrize("version", EACH_VERSION)
def test_secrets_are_read_after_a_restart_and_a_rotation(
    cluster: Cluster, listener: Listener, tmp_path: Path, version: str
) -> None:
    database = f"restart_{version.replace('.', '_')}"
    cluster.execute(f"CREATE DATABASE {database}")

    def run(name: str, **variables: Any) -> Any:
        directory = tmp_path / name
        directory.mkdir()
        return deployed_server(
            cluster,
            database,
            directory,
            version=version,
            mlflow_workers=1,
            # Webhooks and providers of the tests are on loopback.
            mlflow_allowed_destinations=["127.0.0.1/32"],
            **variables,
        )

    def use(server: Server, passphrases: list[str]) -> tuple[int, str]:
        status, said = use_secrets(server, listener)
        # With a login function of one's own, earlier releases have no gateway.
        if "not supported for FastAPI routes" in said:
            said = decrypt(cluster, database, passphrases, version)
        return status, said

    with run("first", **OLD) as server:
        client(server, CREATE, listener.url, WEBHOOK_SECRET, API_KEY, version=version)
        assert use(server, [GATEWAY_PASSPHRASE]) == (200, API_KEY)
    with run("rotated", **ROTATED) as server:
        assert use(server, [OTHER_PASSPHRASE, GATEWAY_PASSPHRASE]) == (200, API_KEY)
        shown = b"".join(
            (Path("/proc") / str(process) / name).read_bytes()
            for process in server.processes()
            for name in ("environ", "cmdline")
        )
    said = (tmp_path / "rotated/log").read_bytes() + (tmp_path / "rotated/mlflow.env").read_bytes()
    assert b"MLFLOW_HOST_SECRETS" in shown
    for key in (WEBHOOK_KEY, GATEWAY_PASSPHRASE, OTHER_KEY, OTHER_PASSPHRASE):
        assert key.encode() not in shown + said
    with run("keys of before", **OLD) as server:
        status, error = use(server, [GATEWAY_PASSPHRASE])
        assert status == 500
        assert "Failed to decrypt secret" in error


def test_plan_counts_secrets_under_older_keys(host: Host) -> None:
    plan = host.plan()
    assert (plan["encrypt"], plan["unreadable"], plan["differs"]) == (4, [], True)


def test_apply_encrypts_under_the_newest_keys(cluster: Cluster, database: str, host: Host) -> None:
    host.apply()

    assert host.plan()["differs"] is False
    assert decrypt(cluster, database, ROTATED["mlflow_gateway_passphrases"], VERSION) == API_KEY
    secret = cluster.execute("SELECT secret FROM webhooks", database)[0][0]
    assert Fernet(OTHER_KEY).decrypt(secret.encode()).decode() == WEBHOOK_SECRET
    before = rows(cluster, database)
    host.apply()
    assert rows(cluster, database) == before


@pytest.mark.slow
def test_apply_that_fails_half_way_changes_nothing(
    cluster: Cluster, database: str, host: Host
) -> None:
    before = rows(cluster, database)
    cluster.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE 'disk is full'; END $$;"
        "CREATE TRIGGER refuse BEFORE UPDATE ON secrets FOR EACH ROW"
        " WHEN (OLD.secret_name = 'own') EXECUTE FUNCTION refuse()",
        database,
    )

    with pytest.raises(RuntimeError, match="disk is full"):
        host.apply()

    assert rows(cluster, database) == before
    cluster.execute("DROP TRIGGER refuse ON secrets", database)
    host.apply()
    assert host.plan()["encrypt"] == 0


@pytest.mark.slow
def test_secrets_that_no_key_fits_are_kept_until_they_are_discarded(
    cluster: Cluster, database: str, tmp_path: Path
) -> None:
    fill(cluster, database)
    host = installed(cluster, database, tmp_path, **OTHER)
    named = ["webhook hook", "gateway secret before"]
    before = rows(cluster, database)

    assert host.plan()["unreadable"] == named
    host.apply()
    assert rows(cluster, database)[:2] == before[:2]

    assert host.apply("--discard-unreadable")["unreadable"] == named
    left = host.plan()
    assert (left["differs"], left["unreadable"]) == (False, [])
    webhook, *secrets = rows(cluster, database)
    assert webhook == (None, "DISABLED")
    assert [name for name, *_ in secrets] == ["default", "own"]
