"""What an operator sees when something is wrong, and that nothing else happens then."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.molecule.fixtures import EPHEMERAL, SCENARIO, SEARCH, answers, psql, wait_for

if TYPE_CHECKING:
    from testinfra.host import Host

    from tests.molecule.client import Client

CURES = {
    "short_admin_password": "mlflow_admin_password needs 12 or more characters",
    "short_webhook_key": "is not a valid Fernet key",
    "broken_webhook_key": "is not a valid Fernet key",
    "no_gateway_passphrase": "mlflow_gateway_passphrases is empty: set it to",
    "short_gateway_passphrase": "fewer than 32 characters",
    "key_in_environment": "MLFLOW_CRYPTO_KEK_PASSPHRASE is not allowed there",
    "former_feature": "mlflow_features: private_destinations is not a valid feature any more",
    "destination_past_its_variable": "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS is not allowed there",
    "destination_without_prefix": "mlflow_allowed_destinations: 10.0.5.7 is not a valid network",
    "destination_out_of_range": "mlflow_allowed_destinations: 10.0.5.700/32 is not a valid network",
    "artifacts_on_the_host": "mlflow_allowed_artifact_locations: file:///srv/artifacts is not",
    "artifacts_above_their_folder": "s3://other-bucket/a/../b is not a valid location",
    "unknown_way_of_artifacts": "mlflow_artifacts_presigned must be one of: off, on, only",
    "addresses_of_a_day": "mlflow_artifacts_presigned_seconds: 86400 is not a valid number",
    "uploads_of_a_day": "mlflow_artifacts_presigned_upload_seconds: 86400 is not a valid number",
    "artifacts_without_limit": "mlflow_artifacts_presigned_max_size: all is not a valid size",
    "unknown_feature": "mlflow_features: jobs is not a valid feature. Choose from ai_gateway",
    "feature_that_is_not_offered": "MLFLOW_SERVER_ENABLE_JOB_EXECUTION is not a valid variable",
    "missing_database": "mlflow_database_host is empty: set it to",
    "missing_authority": "mlflow_database_ca: there is no file /nowhere/ca.pem",
    "unlocked_version": "1.0.0",
    "url_with_path": "without a path",
    "garbage_time": "like 30d or 12h",
    "unknown_mode": "tls_proxy_mode is maybe: set it to",
    "address_with_port": "without scheme and port",
    "acme_for_address": "Mode acme needs names only",
    "missing_certificate": "name the PEM file",
    "foreign_key": "is not the key of",
    "expired_certificate": "get a new one",
    "certificate_for_another_name": "does not hold another.test, only DNS:mlflow.test",
    "weak_metrics_token": "openssl rand -hex 32",
    "journal_size": "like 1G and 30day",
    "reboot_time": 'like \\"04:30\\"',
}


def ansible(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ansible-playbook", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"ANSIBLE_CONFIG": str(EPHEMERAL / "ansible.cfg")},
    )


@pytest.fixture(scope="module")
def refusals() -> dict[str, str]:
    done = ansible(f"--inventory={SCENARIO}/inventory/cases.yml", str(SCENARIO / "refuse.yml"))
    assert done.returncode == 0, done.stdout[-3000:]
    return {path.name: path.read_text() for path in (EPHEMERAL / "refusals").iterdir()}


@pytest.mark.parametrize("case", CURES)
def test_bad_setting_is_refused_with_its_cure(refusals: dict[str, str], case: str) -> None:
    assert CURES[case] in refusals[case]


def test_every_bad_setting_is_asserted_on(refusals: dict[str, str]) -> None:
    assert refusals.keys() == CURES.keys()


def test_wrong_password_of_the_database_fails_with_the_reason_and_leaves_the_server(
    client: Client,
) -> None:
    assert answers(client)
    wrong = json.dumps({"mlflow_database_admin_password": "test-wrong"})
    done = ansible(
        f"--inventory={os.environ['MOLECULE_INVENTORY_FILE']}",
        f"--extra-vars={wrong}",
        str(SCENARIO.parent / "default/converge.yml"),
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "password authentication failed" in said
    assert "test-wrong" not in said
    assert answers(client)


def test_service_outlives_a_database_outage(host: Host, client: Client) -> None:
    host.check_output("systemctl stop postgresql@*-main.service")
    try:
        assert client.call(SEARCH, {"max_results": 1}).status >= 500
        # Also a server that is started while the database is away comes up in the end.
        host.check_output("systemctl restart --no-block mlflow")
        wait_for(lambda: int(host.check_output("systemctl show -P NRestarts mlflow")) >= 2, 60)
    finally:
        host.check_output("systemctl start postgresql")
    wait_for(lambda: answers(client), 90)
    wait_for(lambda: host.service("mlflow").is_running, 30)


def test_service_refuses_a_foreign_schema_and_says_so(host: Host, settings: dict[str, Any]) -> None:
    make_foreign = "UPDATE alembic_version SET version_num = reverse(version_num)"
    assert psql(host, settings, "owner", make_foreign).rc == 0
    try:
        assert host.run("systemctl restart mlflow").rc != 0
        wait_for(lambda: host.check_output("systemctl show -P SubState mlflow") == "failed", 10)
        assert "playbooks/upgrade.yml" in host.check_output(
            "journalctl --no-pager --unit=mlflow --lines=20"
        )
    finally:
        assert psql(host, settings, "owner", make_foreign).rc == 0
        host.check_output("systemctl restart mlflow")
    assert host.service("mlflow").is_running
