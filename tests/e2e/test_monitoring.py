"""Prometheus and Alertmanager of the deployment: what they know, and which alerts fire."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Deployment

# Scrapes and evaluations are this far apart in inventory.yml.
SCRAPE_SECONDS = 30
JOBS = {
    "alertmanager",
    "blackbox",
    "endpoint",
    "mlflow",
    "node",
    "postgres",
    "prometheus",
    "server",
}


class Monitoring:
    """The pages of Prometheus and Alertmanager, as an operator opens them."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        environment = deployment.environment_of("monitoring.env")
        self.prometheus = environment["PROMETHEUS_URL"]
        self.alertmanager = environment["ALERTMANAGER_URL"]
        self.login = (environment["MONITORING_USERNAME"], environment["MONITORING_PASSWORD"])
        # Runs that other tests have let fail.
        self.known = {
            alert["fingerprint"]
            for alert in self.alerts()
            if alert["labels"]["alertname"] == "MlflowRunFailed"
        }

    def get(self, url: str, **options: Any) -> requests.Response:
        """Ask with the login."""
        login = options.pop("auth", self.login)
        ca = self.deployment.outputs["ca_certificate"]
        return requests.get(url, auth=login, verify=ca, timeout=30, **options)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that a query of Prometheus selects."""
        answer = self.get(f"{self.prometheus}/api/v1/query", params={"query": expression})
        assert answer.status_code == requests.codes.ok, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def targets(self) -> dict[str, str]:
        """Return the health of each job."""
        answer = self.get(f"{self.prometheus}/api/v1/targets", params={"state": "active"})
        active = answer.json()["data"]["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in active}

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that an operator is notified of."""
        chosen = {"active": "true", "inhibited": "false", "silenced": "false"}
        answer = self.get(f"{self.alertmanager}/api/v2/alerts", params=chosen)
        assert answer.status_code == requests.codes.ok, answer.text
        found: list[dict[str, Any]] = answer.json()
        return found

    def firing(self) -> set[str]:
        """Return the names of alerts that these tests have to do with."""
        return {
            alert["labels"]["alertname"]
            for alert in self.alerts()
            if alert["fingerprint"] not in self.known
        }


def make_status(deployment: Deployment, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook behind `make status`."""
    play = deployment.aws.play("playbooks/status.yml", *arguments)
    return subprocess.CompletedProcess([], play.returncode, play.output, "")


@pytest.fixture(scope="module")
def monitoring(deployment: Deployment, run: dict[str, Any]) -> Monitoring:
    """The monitoring of a deployment with a run, once it has scraped everything."""
    assert run
    found = Monitoring(deployment)
    assert eventually(lambda: found.targets() == dict.fromkeys(JOBS, "up"), 120), found.targets()
    return found


def test_all_targets_are_up(monitoring: Monitoring) -> None:
    assert monitoring.targets() == dict.fromkeys(JOBS, "up")


@pytest.mark.parametrize("page", ["prometheus", "alertmanager"])
def test_page_requires_its_login(monitoring: Monitoring, page: str) -> None:
    url = f"{getattr(monitoring, page)}/-/ready"
    administrator = monitoring.deployment.client_environment
    others = (
        None,
        (monitoring.login[0], "wrong"),
        (administrator["MLFLOW_TRACKING_USERNAME"], administrator["MLFLOW_TRACKING_PASSWORD"]),
    )

    assert monitoring.get(url).status_code == requests.codes.ok
    for login in others:
        answer = monitoring.get(url, auth=login)
        assert answer.status_code == requests.codes.unauthorized
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_values_of_prometheus_are_those_of_mlflow(monitoring: Monitoring) -> None:
    deployment = monitoring.deployment
    answer = deployment.ask("GET", "2.0/mlflow/experiments/search", params={"max_results": 1000})
    expected = {}
    for experiment in answer.json()["experiments"]:
        search = {
            "experiment_ids": [experiment["experiment_id"]],
            "order_by": ["attributes.start_time DESC"],
            "max_results": 1,
        }
        found = deployment.ask("POST", "2.0/mlflow/runs/search", json=search).json()
        for latest in found.get("runs", []):
            for metric in latest["data"].get("metrics", []):
                name = "mlflow_" + re.sub(r"[^a-zA-Z0-9_]", "_", metric["key"])
                expected[name, latest["info"]["run_id"]] = metric["value"]
    assert expected

    def values() -> dict[tuple[str, str], float]:
        # Of two scrapes: when another test has stopped Prometheus, it marks nothing as stale that
        # vanished meanwhile, and answers with it for five minutes.
        chosen = '{__name__=~"mlflow_.+", job="endpoint", run_id!=""}'
        series = monitoring.query(f"last_over_time({chosen}[{2 * SCRAPE_SECONDS + 10}s])")
        return {
            (item["metric"]["__name__"], item["metric"]["run_id"]): float(item["value"][1])
            for item in series
        }

    agrees = eventually(lambda: values() == expected, 3 * SCRAPE_SECONDS)
    assert agrees, sorted(values().items() ^ expected.items())


def test_rules_have_no_error(monitoring: Monitoring) -> None:
    def health() -> dict[str, str]:
        groups = monitoring.get(f"{monitoring.prometheus}/api/v1/rules").json()["data"]["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    # A rule that has not been evaluated yet is unknown.
    eventually(lambda: "unknown" not in health().values(), 3 * SCRAPE_SECONDS)
    assert len(health()) > 20
    assert set(health().values()) == {"ok"}


# The rules read these. A family that no target has would keep its alert silent always.
@pytest.mark.parametrize(
    "family",
    [
        "mlflow_http_request_total",
        "mlflow_http_request_duration_seconds_bucket",
        "pg_up",
        "pg_stat_activity_count",
        "pg_settings_max_connections",
        "pg_stat_database_deadlocks",
        "probe_success",
        "probe_ssl_earliest_cert_expiry",
        'node_filesystem_avail_bytes{mountpoint="/"}',
        "node_memory_MemAvailable_bytes",
        "monitoring_token_changed_timestamp_seconds",
        "monitoring_backup_timestamp_seconds > 0",
        "prometheus_rule_evaluation_failures_total",
        "prometheus_notifications_dropped_total",
        "prometheus_tsdb_wal_writes_failed_total",
        "alertmanager_notifications_failed_total",
    ],
)
def test_family_of_a_rule_has_series(monitoring: Monitoring, family: str) -> None:
    assert monitoring.query(family)


def test_nothing_fires_on_a_healthy_deployment(monitoring: Monitoring) -> None:
    # Earlier tests stop parts of the deployment.
    assert eventually(lambda: monitoring.firing() == set(), 420), monitoring.firing()


def test_node_exporter_cannot_read_the_secrets(deployment: Deployment) -> None:
    secret = "/etc/monitoring/prometheus/metrics_token"
    main = "systemctl show --value --property=MainPID prometheus-node-exporter"
    within = f"sudo nsenter --target=$({main}) --mount"

    assert deployment.ssh(f"sudo test -s {secret}").returncode == 0
    assert deployment.ssh(f"{within} test -s /etc/hostname").returncode == 0
    assert deployment.ssh(f"{within} test -s {secret}").returncode != 0


def test_status_of_a_healthy_deployment_succeeds(monitoring: Monitoring) -> None:
    done = make_status(monitoring.deployment)

    wrong = set(re.findall(r"WRONG +(\w+)", done.stdout))
    assert (done.returncode, wrong) == ((2, {"alerts"}) if monitoring.known else (0, set()))
    for text in ("tracking server", "until ", "PostgreSQL", "USD a month", monitoring.prometheus):
        assert text in done.stdout
    assert monitoring.login[1] not in done.stdout
    page = monitoring.prometheus.replace("/-/prometheus", "/-/status")
    assert "tracking server" in monitoring.get(page).text
    assert monitoring.get(page, auth=None).status_code == 401


@pytest.mark.slow
def test_status_reports_a_backup_that_is_too_old(monitoring: Monitoring) -> None:
    done = make_status(monitoring.deployment, "-e", "status_backup_hours=0")

    assert done.returncode == 2, done.stdout
    assert re.search(r"WRONG +backup ", done.stdout)


@contextmanager
def stopped(deployment: Deployment, unit: str) -> Iterator[None]:
    """Stop a unit of the host for a while."""
    done = deployment.ssh(f"sudo systemctl stop {unit}")
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        deployment.ssh(f"sudo systemctl start {unit}")


@pytest.mark.slow
def test_status_of_a_stopped_server_has_its_alert(monitoring: Monitoring) -> None:
    """The rules have their own times here; tests/alerts makes each alert fire, in less time."""
    with stopped(monitoring.deployment, "mlflow-watch.timer mlflow.service"):
        fires = eventually(lambda: "MlflowServerDown" in monitoring.firing(), 240)
        assert fires, monitoring.firing()
        assert monitoring.firing() == {"MlflowServerDown"}
        done = make_status(monitoring.deployment)
        assert done.returncode == 2, done.stdout
        assert re.search(r"WRONG +tracking server ", done.stdout)
        assert re.search(r"WRONG +alerts +MlflowServerDown", done.stdout)
    assert eventually(lambda: monitoring.firing() == set(), 420), monitoring.firing()


def test_monitoring_uses_little_memory(monitoring: Monitoring) -> None:
    """All units together stay below 200 MB."""
    script = (
        "for pid in $(pgrep -f '^/usr/bin/prometheus( |-alertmanager|-postgres|-blackbox)'); do"
        " sudo awk '/^Pss:/ {print $2}' /proc/$pid/smaps_rollup; done"
    )
    done = monitoring.deployment.ssh(script)
    sizes = [int(line) for line in done.stdout.split()]

    assert len(sizes) == 4, json.dumps(sizes)
    assert sum(sizes) < 200 * 1000
