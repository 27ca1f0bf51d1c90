"""What a user and an operator may rely on after the roles have run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from tests.molecule.client import Answer, Client
from tests.molecule.fixtures import API, SEARCH, answers, psql, wait_for
from tests.molecule.memory import memory_growth, processes
from tests.molecule.transfer import MIB, receive, send
from tests.ssh_audit import findings

if TYPE_CHECKING:
    from testinfra.host import Host


@pytest.mark.parametrize("name", ["mlflow", "caddy"])
def test_service_runs_and_starts_at_boot(host: Host, name: str) -> None:
    service = host.service(name)
    assert service.is_running
    assert service.is_enabled


def test_no_request_without_the_right_password(client: Client) -> None:
    search = {"max_results": 1}
    assert client.call(SEARCH, search, user=None).status == 401
    wrong = replace(client, password=client.password + "x")
    assert wrong.call(SEARCH, search).status == 401
    assert client.call(SEARCH, search, user="nobody").status == 401
    assert client.call(SEARCH, search).status == 200


def test_foreign_host_and_foreign_origin_are_refused(client: Client) -> None:
    search = {"max_results": 1}
    own = f"https://{client.address}:5000"
    assert client.call(SEARCH, search, headers={"Host": "evil.test:5000"}).status == 421
    assert client.call(SEARCH, search, headers={"Origin": "https://evil.test"}).status == 403
    assert client.call(SEARCH, search, headers={"Host": "mlflow.test:5000"}).status == 200
    assert client.call(SEARCH, search, headers={"Origin": own}).status == 200


def test_run_is_logged_and_read_back_through_the_proxy(client: Client) -> None:
    name = f"experiment {time.time_ns()}"
    created = client.call(f"{API}/experiments/create", {"name": name})
    assert created.status == 200, created.text
    experiment = created.json["experiment_id"]
    run = client.call(f"{API}/runs/create", {"experiment_id": experiment}).json["run"]["info"]
    logged = client.call(
        f"{API}/runs/log-batch",
        {
            "run_id": run["run_id"],
            "metrics": [{"key": "mse_local", "value": 0.25, "timestamp": 1, "step": 0}],
            "params": [{"key": "alpha", "value": "0.1"}],
        },
    )
    assert logged.status == 200, logged.text
    read = client.call(f"{API}/runs/get?run_id={run['run_id']}").json["run"]["data"]
    assert [(metric["key"], metric["value"]) for metric in read["metrics"]] == [("mse_local", 0.25)]
    assert read["params"] == [{"key": "alpha", "value": "0.1"}]


def test_artifact_goes_up_and_down_through_the_server(client: Client, host: Host) -> None:
    experiment = client.call(f"{API}/experiments/get?experiment_id=0").json["experiment"]
    assert experiment["artifact_location"].startswith("mlflow-artifacts:/")
    content = "x" * 100_000
    path = "/api/2.0/mlflow-artifacts/artifacts/0/test/artifacts/file.txt"
    sent = client.call(path, content.encode(), method="PUT")
    assert sent.status == 200, sent.text
    assert client.call(path) == Answer(200, content)
    assert host.file("/var/lib/mlflow/artifacts/0/test/artifacts/file.txt").size == len(content)


def test_model_version_with_a_foreign_source_is_refused(client: Client) -> None:
    model = f"model-{time.time_ns()}"
    assert client.call(f"{API}/registered-models/create", {"name": model}).status == 200
    version = {"name": model, "source": "s3://somewhere/else"}
    assert client.call(f"{API}/model-versions/create", version).status == 400


def test_metrics_role_can_read_runs_only(host: Host, settings: dict[str, Any]) -> None:
    for table in ("experiments", "runs", "latest_metrics", "tags", "alembic_version"):
        assert psql(host, settings, "metrics", f"TABLE {table}").rc == 0
    for statement in (
        "SELECT * FROM users",
        "SELECT * FROM params",
        "SET TRANSACTION READ WRITE; UPDATE runs SET name = 'x'",
        "SET TRANSACTION READ WRITE; DELETE FROM latest_metrics",
        "SET TRANSACTION READ WRITE; CREATE TABLE mine (x int)",
        "SET TRANSACTION READ WRITE; CREATE TEMPORARY TABLE mine (x int)",
        "SET ROLE mlflow",
    ):
        result = psql(host, settings, "metrics", statement)
        assert result.rc != 0, statement
        assert "permission denied" in result.stderr, statement


def test_server_role_can_change_rows_but_not_tables(host: Host, settings: dict[str, Any]) -> None:
    allowed = "UPDATE runs SET name = name; SELECT nextval('users_id_seq')"
    assert psql(host, settings, "server", allowed).rc == 0
    for statement in (
        "UPDATE alembic_version SET version_num = 'x'",
        "CREATE TABLE mine (x int)",
        "SET ROLE mlflow",
    ):
        result = psql(host, settings, "server", statement)
        assert result.rc != 0, statement
        assert "permission denied" in result.stderr, statement
    for statement in (
        "ALTER TABLE runs ADD x int",
        "DROP TABLE params",
        "DROP INDEX mlflow_latest_run",
    ):
        result = psql(host, settings, "server", statement)
        assert result.rc != 0, statement
        assert "must be owner" in result.stderr, statement


def test_metrics_role_is_limited(host: Host, settings: dict[str, Any]) -> None:
    shown = psql(
        host, settings, "metrics", "SHOW statement_timeout; SHOW default_transaction_read_only"
    )
    assert shown.stdout.split() == ["10s", "on"]
    limit = psql(
        host,
        settings,
        "metrics",
        "SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user",
    )
    assert limit.stdout.strip() == "10"


def test_latest_run_of_an_experiment_is_found_by_index(
    host: Host, settings: dict[str, Any]
) -> None:
    plan = psql(
        host,
        settings,
        "metrics",
        "SET enable_seqscan = off; EXPLAIN SELECT run_uuid FROM runs WHERE experiment_id = 1"
        " AND lifecycle_stage = 'active' ORDER BY start_time DESC LIMIT 1",
    )
    assert "Index" in plan.stdout
    assert "mlflow_latest_run" in plan.stdout
    assert "Sort" not in plan.stdout


def test_nothing_listens_beyond_loopback_but_ssh_and_the_proxy(host: Host) -> None:
    lines = host.check_output("ss --no-header --listening --tcp --udp --numeric").splitlines()
    local = [line.split()[4].rpartition(":") for line in lines]
    beyond = {int(port) for address, _, port in local if not address.startswith(("127.", "[::1]"))}
    assert beyond - {22} == {5000}


def test_only_modern_tls_is_spoken(host: Host, address: str) -> None:
    scanned = host.check_output(f"sslscan --no-colour --xml=- {address}:5000")
    report = ET.fromstring(scanned)  # noqa: S314  the tests' own scan
    enabled = {
        f"{protocol.get('type')}{protocol.get('version')}"
        for protocol in report.iter("protocol")
        if protocol.get("enabled") == "1"
    }
    assert enabled == {"tls1.2", "tls1.3"}
    ciphers = {str(cipher.get("cipher")) for cipher in report.iter("cipher")}
    assert ciphers
    for cipher in ciphers:
        # Forward secrecy and authenticated encryption, nothing else.
        assert re.fullmatch(r"(TLS_AES|TLS_CHACHA20|ECDHE-\w+-(AES\d+-GCM|CHACHA20)).*", cipher)


def test_ssh_offers_keys_and_strong_algorithms_only(address: str) -> None:
    command = ["ssh", "-F", "none", "-o", "PreferredAuthentications=none"]
    options = ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={os.devnull}"]
    for user in ("admin", "root"):
        done = subprocess.run(
            [*command, *options, f"{user}@{address}", "true"],
            check=False,
            text=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        assert done.stderr.strip().endswith("Permission denied (publickey).")
    assert findings(address) == {}


def test_proxy_speaks_http_2(host: Host, address: str) -> None:
    version = host.check_output(
        f"curl --silent --insecure --output /dev/null --write-out '%{{http_version}}'"
        f" https://{address}:5000/"
    )
    assert version == "2"


def test_security_headers_are_sent(host: Host, address: str) -> None:
    head = host.check_output(f"curl --silent --insecure --head https://{address}:5000/").lower()
    for header in (
        "x-content-type-options: nosniff",
        "x-frame-options: sameorigin",
        "referrer-policy: same-origin",
        "content-security-policy: base-uri 'self'",
    ):
        assert head.count(header) == 1, header
    assert "\nserver:" not in head
    # An authority of its own, and an address: a browser that insisted could never be let in again.
    assert "strict-transport-security" not in head


def test_access_log_has_requests_without_secrets(host: Host, client: Client) -> None:
    mark = f"mark{time.time_ns()}"
    headers = {"Cookie": f"session={mark}-cookie", "X-Token": f"{mark}-header"}
    client.call(f"/{mark}?token={mark}-query", headers=headers)
    log = host.check_output("journalctl --no-pager --output=cat --unit=caddy")
    [entry] = [json.loads(line) for line in log.splitlines() if mark in line]
    assert entry["request"]["uri"] == f"/{mark}?"
    for part in ("cookie", "header", "query"):
        assert f"{mark}-{part}" not in log
    assert "Authorization" not in log


@pytest.mark.parametrize(
    "path", [f"{API}/runs/create", "/api/2.0/mlflow-artifacts/artifacts/0/x/artifacts/y"]
)
def test_large_body_without_a_login_is_refused_without_memory_use(
    host: Host, client: Client, path: str
) -> None:
    """MLflow asks who it is only after it has read all of the body of a POST, on any path."""
    with memory_growth(host) as growth:
        assert send(client, path, 200 * MIB, user=None)[0] == 413
    assert growth() < 100 * MIB


def artifact_goes_up_and_down(host: Host, client: Client, size: int) -> None:
    path = f"/api/2.0/mlflow-artifacts/artifacts/0/large/artifacts/{time.time_ns()}.bin"
    try:
        with memory_growth(host) as growth:
            status, sent = send(client, path, size)
            assert status == 200
            assert receive(client, path) == (size, sent)
        assert growth() < 200 * MIB
    finally:
        host.check_output("rm -rf /var/lib/mlflow/artifacts/0/large")


def test_large_artifact_is_streamed_in_bounded_memory(host: Host, client: Client) -> None:
    artifact_goes_up_and_down(host, client, 300 * MIB)


@pytest.mark.slow
def test_artifact_of_two_gibibytes_is_streamed_in_bounded_memory(
    host: Host, client: Client
) -> None:
    artifact_goes_up_and_down(host, client, 2048 * MIB)


def test_secrets_are_not_in_processes_logs_or_files_of_others(
    host: Host, secrets: list[str], client: Client
) -> None:
    assert answers(client)
    unit = "mlflow caddy"
    seen = {
        "systemctl show": host.check_output(f"systemctl show {unit}"),
        "systemctl cat": host.check_output(f"systemctl cat {unit}"),
        "processes and their environments": host.check_output("ps auxeww"),
        "journal": host.check_output("journalctl --no-pager --output=verbose"),
        "logs": host.check_output("find /var/log -type f -exec cat -v {} +"),
        "settings": host.check_output("cat /etc/mlflow/mlflow.env /etc/mlflow/basic_auth.ini"),
    }
    for place, text in seen.items():
        for secret in secrets:
            assert secret not in text, place
            assert shlex.quote(secret) not in text, place
            assert json.dumps(secret).strip('"') not in text, place


def test_secrets_are_readable_by_the_server_alone(host: Host) -> None:
    folder = host.file("/etc/mlflow/secrets")
    assert (folder.user, folder.mode) == ("mlflow", 0o700)
    for name in folder.listdir():
        file = host.file(f"{folder.path}/{name}")
        assert (file.user, file.mode) == ("mlflow", 0o600)


def test_service_is_confined(host: Host) -> None:
    pid = host.check_output("systemctl show --property=MainPID --value mlflow")
    status = dict(
        line.split(":", 1) for line in host.check_output(f"cat /proc/{pid}/status").splitlines()
    )
    assert status["CapEff"].strip() == "0000000000000000"
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    entered = f"nsenter --target {pid} --mount --"
    assert host.run(f"{entered} touch /opt/mlflow/x").rc != 0
    assert host.run(f"{entered} touch /etc/x").rc != 0


@pytest.mark.parametrize("unit", ["mlflow", "caddy"])
def test_service_answers_again_after_a_kill_of_any_process(
    host: Host, client: Client, unit: str
) -> None:
    def works() -> bool:
        return host.service("mlflow").is_running and answers(client)

    wait_for(works, 90)
    # The youngest first: the others are their parents, and the last one is the supervisor.
    for victim in sorted(processes(host, unit), key=int, reverse=True):
        if host.run(f"kill -9 {victim}").rc == 0:
            start = time.monotonic()
            # A zombie waits for a parent that might not look for it.
            alive = f"ps -o stat= -p {victim} | grep -q '^[^Z]'"
            wait_for(lambda alive=alive: host.run(alive).rc != 0, 15)  # type: ignore[misc]
            wait_for(works, 15 - (time.monotonic() - start))


def test_newest_of_the_old_versions_stays(host: Host) -> None:
    kept = host.check_output("ls /opt/mlflow").split()
    assert [name for name in kept if name[0].isdigit()] == ["3.10.0", "3.17.2"]


def test_server_that_hangs_is_restarted(host: Host, client: Client) -> None:
    before = host.run("systemctl show --property=MainPID --value mlflow").stdout
    assert host.run("systemctl kill --signal=SIGSTOP mlflow").rc == 0

    wait_for(lambda: answers(client), seconds=150)

    assert host.run("systemctl show --property=MainPID --value mlflow").stdout != before
    assert "MLflow hangs" in host.run("journalctl --unit=mlflow-watch --no-pager").stdout


def test_server_that_was_stopped_is_not_restarted(host: Host, client: Client) -> None:
    assert host.run("systemctl stop mlflow").rc == 0
    try:
        assert host.run("systemctl start mlflow-watch").rc == 0
        assert host.run("systemctl is-active mlflow").stdout.strip() == "inactive"
    finally:
        assert host.run("systemctl start mlflow").rc == 0
    assert answers(client)
