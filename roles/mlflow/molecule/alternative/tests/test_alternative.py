"""What holds when much is set otherwise."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.molecule.fixtures import API, EPHEMERAL, SCENARIO, SEARCH, answers
from tests.molecule.transfer import MIB, send

if TYPE_CHECKING:
    from testinfra.host import Host

    from tests.molecule.client import Client

MONTH_MILLISECONDS = 31 * 86_400_000


def superuser(host: Host, statement: str) -> str:
    found: str = host.check_output(
        "runuser --user=postgres -- psql --no-psqlrc --tuples-only --no-align mlflow --command=%s",
        statement,
    )
    return found


def deleted_run(client: Client, experiment: str) -> str:
    """Make a run with an artifact, and delete it as a user does."""
    run: str = client.call(f"{API}/runs/create", {"experiment_id": experiment}).json["run"]["info"][
        "run_id"
    ]
    path = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/file.txt"
    assert client.call(path, b"content", method="PUT").status == 200
    assert client.call(f"{API}/runs/delete", {"run_id": run}).status == 200
    return run


def test_provided_certificate_is_served(client: Client) -> None:
    # The client trusts nothing but the operator's authority.
    assert answers(client)


def test_key_of_the_certificate_is_readable_by_the_proxy_alone(host: Host) -> None:
    key = host.file("/etc/caddy/tls/key.pem")
    assert (key.user, key.mode) == ("caddy", 0o600)


def test_hsts_is_sent_for_names_and_not_for_addresses(host: Host, address: str) -> None:
    name = host.check_output(
        f"curl --silent --insecure --head --resolve mlflow.test:443:{address} https://mlflow.test/"
    )
    assert "strict-transport-security: max-age=31536000" in name.lower()
    number = host.check_output(f"curl --silent --insecure --head https://{address}/")
    assert "strict-transport-security" not in number.lower()


def test_mlflow_without_a_package_index_runs(host: Host) -> None:
    uv = host.run(
        "/srv/mlflow/bootstrap/bin/uv pip install --dry-run"
        " --python=/srv/mlflow/bootstrap/bin/python absent-package"
    )
    assert uv.rc != 0
    assert "index lookups were disabled" in " ".join(uv.stderr.split())
    assert host.service("mlflow").is_running
    assert not host.file("/srv/mlflow/wheels").exists


def test_nothing_listens_beyond_loopback_but_ssh_and_the_proxy(host: Host) -> None:
    lines = host.check_output("ss --no-header --listening --tcp --udp --numeric").splitlines()
    local = [line.split()[4].rpartition(":") for line in lines]
    beyond = {int(port) for address, _, port in local if not address.startswith(("127.", "[::1]"))}
    assert beyond == {22, 443}


def test_server_runs_as_the_other_user_with_one_worker(host: Host) -> None:
    pid = host.check_output("systemctl show --property=MainPID --value mlflow")
    assert host.check_output(f"stat --format=%U /proc/{pid}") == "tracking"
    assert host.check_output("ls /srv/mlflow | grep '^[0-9]'").split() == ["3.17.2"]


@pytest.mark.parametrize(
    ("path", "metric"),
    [
        ("/-/metrics/host", "node_memory_MemTotal_bytes"),
        ("/-/metrics/mlflow", "mlflow_http_request_total"),
    ],
)
def test_metrics_without_the_token_are_refused(
    client: Client, settings: dict[str, Any], path: str, metric: str
) -> None:
    assert answers(client)
    token = settings["tls_proxy_metrics_token"]
    allowed = client.call(path, user=None, headers={"Authorization": f"Bearer {token}"})
    assert allowed.status == 200
    assert re.search(rf"^{metric}\b", allowed.text, re.MULTILINE)
    assert client.call(path, user=None).status == 401
    assert client.call(path).status == 401
    wrong = {"Authorization": f"Bearer {token}x"}
    assert client.call(path, user=None, headers=wrong).status == 401


def test_server_metrics_need_the_administrators_login(client: Client) -> None:
    assert client.call("/metrics", user=None).status == 401
    assert client.call("/metrics").status == 200


def test_body_above_the_limit_is_refused_unless_it_is_an_artifact(client: Client) -> None:
    assert send(client, f"{API}/runs/create", 2 * MIB)[0] == 413
    path = "/api/2.0/mlflow-artifacts/artifacts/0/large/artifacts/file.bin"
    assert send(client, path, 2 * MIB)[0] == 200


def test_garbage_collection_deletes_only_what_was_deleted_long_ago(
    client: Client, host: Host
) -> None:
    created = client.call(f"{API}/experiments/create", {"name": f"garbage {time.time_ns()}"})
    experiment = created.json["experiment_id"]
    old, young = deleted_run(client, experiment), deleted_run(client, experiment)
    folder = f"/var/lib/mlflow/artifacts/{experiment}"
    aged = f"deleted_time = deleted_time - {MONTH_MILLISECONDS}"
    superuser(host, f"UPDATE runs SET {aged} WHERE run_uuid = '{old}'")  # noqa: S608  its own test data

    host.check_output("systemctl start mlflow-gc.service")

    left = superuser(host, f"SELECT run_uuid FROM runs WHERE experiment_id = {experiment}")  # noqa: S608  as above
    assert left.split() == [young]
    assert not host.file(f"{folder}/{old}/artifacts/file.txt").exists
    assert host.file(f"{folder}/{young}/artifacts/file.txt").exists
    assert host.service("mlflow-gc.timer").is_enabled
    assert host.service("mlflow-gc.timer").is_running


def test_journal_has_the_configured_limits(host: Host) -> None:
    said = host.check_output("journalctl --no-pager --unit=systemd-journald | tail -n 20")
    assert re.search(r"System Journal .* max 200\.0M|System Journal .* max 200M", said)


def test_security_updates_alone_are_installed_by_themselves(host: Host) -> None:
    said = host.run("unattended-upgrade --dry-run --debug")
    allowed = re.search(r"Allowed origins are: (.*)", said.stdout + said.stderr)
    assert allowed
    assert re.findall(r"origin=[^,]*,codename=[^,]*,label=[^,\s']*", allowed[1]) == [
        "origin=Debian,codename=bookworm-security,label=Debian-Security"
    ]
    dump = host.check_output("apt-config dump")
    assert 'APT::Periodic::Unattended-Upgrade "1";' in dump
    assert 'Unattended-Upgrade::Automatic-Reboot-Time "04:30";' in dump
    assert host.service("apt-daily-upgrade.timer").is_enabled


def test_chrony_uses_the_configured_servers(host: Host) -> None:
    assert "192.0.2.123" in host.check_output("chronyc -n sources")


def test_output_of_ansible_has_no_secrets(host: Host, secrets: list[str], client: Client) -> None:
    # The new file is what a diff could show.
    host.check_output("find /etc/tracking/secrets -type f -exec truncate --size=0 {} +")
    host.check_output("truncate --size=0 /etc/caddy/tls/key.pem /etc/caddy/tls/metrics")
    done = subprocess.run(
        [
            "ansible-playbook",
            "-vvv",
            "--diff",
            f"--inventory={os.environ['MOLECULE_INVENTORY_FILE']}",
            str(SCENARIO.parent / "default/converge.yml"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"ANSIBLE_CONFIG": str(EPHEMERAL / "ansible.cfg")},
    )

    assert done.returncode == 0, done.stdout[-3000:]
    key = (EPHEMERAL / "server.key").read_text().splitlines()[1]
    for secret in [*secrets, key]:
        for shown in (secret, shlex.quote(secret), json.dumps(secret).strip('"')):
            assert shown not in done.stdout
            assert shown not in done.stderr
    assert client.call(SEARCH, {"max_results": 1}).status == 200
