"""What a user and an operator may rely on after the roles have run."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.molecule.client import Answer, Client

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

API = "/api/2.0/mlflow"
SEARCH = f"{API}/experiments/search"


def wait_for(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until the condition holds; say how long it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "still not so"
        time.sleep(0.2)
    return time.monotonic() - start


def answers(client: Client) -> bool:
    try:
        return client.call(SEARCH, {"max_results": 1}).status == 200
    except OSError:
        return False


def psql(host: Host, settings: dict[str, Any], who: str, statement: str) -> Any:
    user, password = {
        "owner": ("mlflow", settings["mlflow_database_password"]),
        "server": ("mlflow_server", settings["mlflow_database_server_password"]),
        "metrics": ("mlflow_metrics", settings["mlflow_database_metrics_password"]),
    }[who]
    return host.run(
        "PGPASSWORD=%s psql --no-psqlrc --tuples-only --no-align --set=ON_ERROR_STOP=1"
        " --command=%s %s",
        password,
        statement,
        f"postgresql://{user}@127.0.0.1/mlflow?sslmode=verify-full"
        "&sslrootcert=/etc/ssl/mlflow-database-ca.pem",
    )


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


def test_metrics_role_reads_runs_and_neither_users_nor_writes(
    host: Host, settings: dict[str, Any]
) -> None:
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


def test_servers_role_changes_rows_and_no_tables(host: Host, settings: dict[str, Any]) -> None:
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


def test_secrets_are_seen_nowhere(host: Host, secrets: list[str], client: Client) -> None:
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


@pytest.mark.parametrize("victim", ["MainPID", "worker"])
def test_server_answers_again_after_a_kill(host: Host, client: Client, victim: str) -> None:
    wait_for(lambda: answers(client), 90)
    pid = host.check_output("systemctl show --property=MainPID --value mlflow")
    if victim == "worker":
        pid = host.check_output(f"pgrep --parent {pid} --full spawn_main").split()[0]
    host.check_output(f"kill -9 {pid}")
    # A worker that is killed while it owes its supervisor an answer is missed after 15 s.
    wait_for(lambda: host.run(f"test -d /proc/{pid}").rc != 0, 20)
    wait_for(lambda: answers(client), 90)


def test_newest_of_the_old_versions_stays(host: Host) -> None:
    kept = host.check_output("ls /opt/mlflow").split()
    assert [name for name in kept if name[0].isdigit()] == ["3.10.0", "3.17.2"]


def test_server_that_hangs_is_restarted(host: Host, client: Client) -> None:
    before = host.run("systemctl show --property=MainPID --value mlflow").stdout
    assert host.run("systemctl kill --signal=SIGSTOP mlflow").rc == 0

    wait_for(lambda: answers(client), seconds=150)

    assert host.run("systemctl show --property=MainPID --value mlflow").stdout != before
    assert "MLflow hangs" in host.run("journalctl --unit=mlflow-watch --no-pager").stdout


def test_server_that_was_stopped_on_purpose_stays_so(host: Host, client: Client) -> None:
    assert host.run("systemctl stop mlflow").rc == 0
    try:
        assert host.run("systemctl start mlflow-watch").rc == 0
        assert host.run("systemctl is-active mlflow").stdout.strip() == "inactive"
    finally:
        assert host.run("systemctl start mlflow").rc == 0
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
        assert "playbooks/mlflow.yml" in host.check_output(
            "journalctl --no-pager --unit=mlflow --lines=20"
        )
    finally:
        assert psql(host, settings, "owner", make_foreign).rc == 0
        host.check_output("systemctl restart mlflow")
    assert host.service("mlflow").is_running
