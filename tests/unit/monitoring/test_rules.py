"""Each alert fires when its cause happens, in its time, alone, and clears afterwards."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.unit.monitoring.rules import alerts as alerts_of
from tests.unit.monitoring.rules import rendered

if TYPE_CHECKING:
    from pathlib import Path

# Minutes from the cause to its end, and to the end of the test.
CAUSE = 30
END = 60
DAY = 86400

# A deployment that nothing is wrong with. Prometheus' clock begins at 0 here.
HEALTHY = {
    'up{job="endpoint",instance="api"}': "1",
    'up{job="mlflow",instance="m"}': "1",
    'up{job="node",instance="n"}': "1",
    'up{job="postgres",instance="p"}': "1",
    'up{job="prometheus",instance="o"}': "1",
    'scrape_duration_seconds{job="endpoint",instance="api"}': "0.1",
    'mlflowexporter_dropped_series{reason="limit"}': "0",
    'mlflowexporter_dropped_series{reason="value"}': "9",
    "mlflowexporter_index_usable": "1",
    'mlflowexporter_run_start_time_seconds{run_id="1"}': "-80000",
    'mlflowexporter_run_info{run_id="1",run_name="a",experiment_name="trees",status="FINISHED"}': (
        "1"
    ),
    'mlflow_mse_home{run_id="1"}': "1.02",
    'mlflow_f1{run_id="1"}': "0.75",
    'mlflowexporter_model_metric{model="tree.home",alias="champion",metric="mse/home"}': "1",
    'mlflowexporter_model_metric{model="tree.\\"away\\"",alias="best",metric="f1"}': "0.8",
    'probe_success{job="server",instance="https://m"}': "1",
    'probe_ssl_earliest_cert_expiry{job="server",instance="https://m"}': "40000",
    'mlflow_http_request_total{job="mlflow",status="200"}': "0+60",
    'mlflow_http_request_total{job="mlflow",status="500"}': "0+0",
    'mlflow_http_request_duration_seconds_bucket{job="mlflow",le="1.0"}': "0+60",
    'mlflow_http_request_duration_seconds_bucket{job="mlflow",le="5.0"}': "0+60",
    'mlflow_http_request_duration_seconds_bucket{job="mlflow",le="+Inf"}': "0+60",
    "pg_up": "1",
    'pg_stat_activity_count{datname="mlflow",state="idle"}': "20",
    "pg_settings_max_connections": "100",
    'pg_stat_database_deadlocks{datname="mlflow"}': "3",
    'node_filesystem_avail_bytes{mountpoint="/"}': "50",
    'node_filesystem_size_bytes{mountpoint="/"}': "100",
    "node_memory_MemAvailable_bytes": "50",
    "node_memory_MemTotal_bytes": "100",
    "monitoring_token_changed_timestamp_seconds": "-1000",
    "monitoring_backup_timestamp_seconds": "-300",
    "monitoring_drill_timestamp_seconds": "-300",
    'prometheus_rule_evaluation_failures_total{rule_group="g"}': "0",
    "prometheus_tsdb_compactions_failed_total": "0",
    "prometheus_tsdb_wal_writes_failed_total": "0",
    "prometheus_notifications_dropped_total": "0",
    'alertmanager_notifications_failed_total{integration="email"}': "0",
}


@dataclass(frozen=True)
class Case:
    """A cause, and the alert that it makes fire.

    Attributes
    ----------
    series
        The samples that differ from those of a healthy deployment while the cause lasts, as
        promtool writes them; of a counter, its growth.
    silent, fires
        Minutes after the cause began at which the alert does not fire yet, and does.
    clears
        Minutes after the end of the cause at which it does not fire any more.
    also
        Other alerts that are expected with it.
    """

    alert: str
    series: dict[str, str]
    silent: int
    fires: int
    description: str
    severity: str = "warning"
    labels: dict[str, str] = field(default_factory=dict)
    clears: int = 1
    also: tuple[str, ...] = ()


REFUSED = "No scrape of api has succeeded for 5 minutes: it is down, or it refuses the token."
ENDPOINT = {"job": "endpoint", "instance": "api"}
SERVER = {"job": "server", "instance": "https://m"}
COMPARED = (
    "Metric {metric} of the latest run of trees is worse than that of the champion of {model}"
    " by {difference}."
)
STORAGE = "Writing to its storage has failed, so other alerts might not fire."
NO_DRILL = "The last successful drill was more than 8 days ago, or this host knows of none."
RUN = {"run_id": "1", "run_name": "a", "experiment_name": "trees"}
INFO = 'mlflowexporter_run_info{run_id="1",run_name="a",experiment_name="trees",status='
CASES = [
    Case(
        "MlflowMetricsDown",
        {'up{job="endpoint",instance="api"}': "0"},
        *(
            4,
            6,
            REFUSED,
        ),
        "critical",
        ENDPOINT,
    ),
    Case(
        "MlflowMetricsSlow",
        {'scrape_duration_seconds{job="endpoint",instance="api"}': "7"},
        *(9, 11, "Scrapes of api take 7s."),
        labels=ENDPOINT,
    ),
    Case(
        "MlflowMetricsDropped",
        {'mlflowexporter_dropped_series{reason="limit"}': "12"},
        *(4, 6, "12 series are above the limit of the endpoint and missing in its answer."),
        labels={"reason": "limit"},
    ),
    Case(
        "MlflowMetricsIndexMissing",
        {"mlflowexporter_index_usable": "0"},
        *(14, 16, "Each scrape reads all runs of the database."),
    ),
    Case(
        "MlflowNoRun",
        {'mlflowexporter_run_start_time_seconds{run_id="1"}': "-180000"},
        *(4, 6, "The latest run started 50 hours ago."),
    ),
    Case(
        "MlflowRunFailed",
        {f'{INFO}"FINISHED"}}': "_", f'{INFO}"FAILED"}}': "1"},
        *(-1, 1, "Run a (1) of experiment trees has failed."),
        labels=RUN | {"status": "FAILED"},
        clears=6,
    ),
    Case(
        "MlflowRunWorseThanChampion",
        {'mlflow_mse_home{run_id="1"}': "1.5"},
        *(-1, 1, COMPARED.format(metric="mse/home", model="tree.home", difference="0.5")),
        labels={"experiment": "trees", "model": "tree.home", "metric": "mse/home"},
    ),
    Case(
        "MlflowRunWorseThanChampion",
        {'mlflow_f1{run_id="1"}': "0.7"},
        *(-1, 1, COMPARED.format(metric="f1", model='tree."away"', difference="0.1")),
        labels={"experiment": "trees", "model": 'tree."away"', "metric": "f1"},
    ),
    Case(
        "MlflowServerDown",
        {'probe_success{job="server",instance="https://m"}': "0"},
        *(1, 3, "https://m/health has not answered with 200 for 2 minutes."),
        "critical",
        SERVER,
    ),
    # A stopped server is reported as such, and not by its missing metrics.
    Case(
        "MlflowServerDown",
        {
            'probe_success{job="server",instance="https://m"}': "0",
            'up{job="mlflow",instance="m"}': "0",
        },
        *(1, 20, "https://m/health has not answered with 200 for 2 minutes."),
        "critical",
        SERVER,
    ),
    Case(
        "MlflowServerMetricsMissing",
        {'up{job="mlflow",instance="m"}': "0"},
        *(9, 11, "The tracking server answers, but m/metrics does not."),
        labels={"job": "mlflow", "instance": "m"},
    ),
    Case(
        "MlflowServerErrors",
        {'mlflow_http_request_total{job="mlflow",status="500"}': "0+20"},
        *(4, 14, "25% of its answers have a status of 5xx."),
        "critical",
        clears=6,
    ),
    Case(
        "MlflowServerSlow",
        {'mlflow_http_request_duration_seconds_bucket{job="mlflow",le="1.0"}': "0+0"},
        *(9, 18, "5% of its requests take longer than 4.8s."),
        clears=6,
    ),
    Case(
        "MlflowCertificateExpires",
        {'probe_ssl_earliest_cert_expiry{job="server",instance="https://m"}': "6000"},
        *(4, 6, "It ends in 1h 34m 0s."),
        "critical",
        SERVER,
    ),
    Case(
        "MlflowDatabaseDown",
        {"pg_up": "0"},
        *(1, 3, "The postgres exporter has not been able to query PostgreSQL for 2 minutes."),
        "critical",
    ),
    Case(
        "MlflowDatabaseConnections",
        {'pg_stat_activity_count{datname="mlflow",state="idle"}': "90"},
        *(4, 6, "90% of the connections are in use."),
    ),
    Case(
        "MlflowDatabaseDeadlocks",
        {'pg_stat_database_deadlocks{datname="mlflow"}': "3+1"},
        *(-1, 3, "PostgreSQL has ended 4 transactions of mlflow within 10 minutes."),
        labels={"datname": "mlflow"},
        clears=11,
    ),
    Case(
        "MlflowHostDiskFull",
        {'node_filesystem_avail_bytes{mountpoint="/"}': "5"},
        *(4, 6, "5% of it are free."),
        "critical",
        {"mountpoint": "/"},
    ),
    Case(
        "MlflowHostMemoryLow",
        {"node_memory_MemAvailable_bytes": "5"},
        *(9, 11, "5% of its memory are available."),
    ),
    Case(
        "MlflowBackupOld",
        {"monitoring_backup_timestamp_seconds": str(-27 * 3600)},
        *(14, 16, "RDS can restore the database as it was 1d 3h 16m 0s ago, and not later."),
        "critical",
    ),
    Case(
        "MlflowDrillOld",
        {"monitoring_drill_timestamp_seconds": str(-9 * DAY)},
        *(14, 16, NO_DRILL),
    ),
    Case(
        "MlflowDrillOld",
        {"monitoring_drill_timestamp_seconds": "_"},
        *(14, 16, NO_DRILL),
    ),
    Case(
        "MlflowTokenOld",
        {"monitoring_token_changed_timestamp_seconds": str(-366 * DAY)},
        *(4, 6, "The host got it 366d 0h 6m 0s ago."),
    ),
    Case(
        "MonitoringTargetDown",
        {'up{job="node",instance="n"}': "0"},
        *(4, 6, "No scrape of node (n) has succeeded for 5 minutes."),
        labels={"job": "node", "instance": "n"},
    ),
    # Nor does the node exporter say when the last drill was.
    Case(
        "MonitoringTargetDown",
        {'up{job="node",instance="n"}': "0", "monitoring_drill_timestamp_seconds": "_"},
        *(4, 20, "No scrape of node (n) has succeeded for 5 minutes."),
        labels={"job": "node", "instance": "n"},
    ),
    Case(
        "MonitoringRulesFail",
        {'prometheus_rule_evaluation_failures_total{rule_group="g"}': "0+1"},
        *(-1, 3, "3 evaluations of g have failed within 10 minutes."),
        labels={"rule_group": "g"},
        clears=11,
    ),
    Case(
        "MonitoringStorageFails",
        {"prometheus_tsdb_wal_writes_failed_total": "0+1"},
        *(1, 5, STORAGE),
        "critical",
        clears=11,
    ),
    # Nothing is stored, except what a test needs to have a time.
    Case(
        "MonitoringStorageFails",
        dict.fromkeys(HEALTHY, "_"),
        *(1, 8, STORAGE),
        "critical",
        {"job": "prometheus"},
    ),
    Case(
        "MonitoringAlertsNotSent",
        {"prometheus_notifications_dropped_total": "0+1"},
        *(-1, 3, "3 alerts have been dropped within 10 minutes."),
        "critical",
        clears=11,
    ),
    Case(
        "MonitoringNotificationsFail",
        {'alertmanager_notifications_failed_total{integration="email"}': "0+1"},
        *(-1, 3, "3 notifications by email have failed within 10 minutes."),
        "critical",
        {"integration": "email"},
        clears=11,
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the rendered rules."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "rules.yml").write_text(rendered())
    return folder


RULES = alerts_of(rendered())


def samples(name: str, cause: dict[str, str]) -> str:
    """Return the samples of a series: its cause lasts for a while, and ends."""
    healthy, now = HEALTHY.get(name, "_"), cause.get(name, HEALTHY.get(name, "_"))
    if "+" not in now:
        growing = "+" in healthy
        return f"{now}x{CAUSE} {'0+60' if growing else healthy}x{END - CAUSE}"
    start, step = now.split("+")
    reached = int(start) + int(step) * (CAUSE + 1)
    after = healthy.split("+")[1] if "+" in healthy else "0"
    return f"{now}x{CAUSE} {reached}+{after}x{END - CAUSE}"


def promtool_test(case: Case) -> dict[str, Any]:
    """Return a test of promtool: the alert in its time, and no other at that time."""
    names = {rule["alert"] for rule in RULES}
    rule = next(
        rule
        for rule in RULES
        if rule["alert"] == case.alert
        and all(
            case.labels.get(name) == value
            for name, value in rule["labels"].items()
            if name != "severity"
        )
    )
    expected = {
        "exp_labels": {"severity": case.severity, **case.labels},
        "exp_annotations": rule["annotations"] | {"description": case.description},
    }
    others = [
        {"eval_time": f"{case.fires}m", "alertname": name, "exp_alerts": []}
        for name in sorted(names - {case.alert, *case.also})
    ]
    times = [(case.silent, []), (case.fires, [expected]), (CAUSE + case.clears + 1, [])]
    return {
        "interval": "1m",
        "input_series": [
            {"series": name, "values": samples(name, case.series)} for name in HEALTHY | case.series
        ],
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": case.alert, "exp_alerts": alerts}
            for minute, alerts in times
            if minute >= 0
        ]
        + others,
    }


def test_rules_are_valid(folder: Path) -> None:
    for name, text in {
        "with.yml": rendered(),
        "without.yml": rendered(
            monitoring_champions=[],
            monitoring_drill_days=0,
            monitoring_no_run_hours=0,
            monitoring_token_days=0,
        ),
    }.items():
        (folder / name).write_text(text)
        done = subprocess.run(
            ["promtool", "check", "rules", "--lint-fatal", name],
            cwd=folder,
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_drill_without_the_node_exporter_has_no_alert() -> None:
    named = {rule["alert"] for rule in alerts_of(rendered(monitoring_node_exporter_port=0))}

    assert {rule["alert"] for rule in RULES} - named == {"MlflowDrillOld"}


def assert_rules_pass(folder: Path, tests: list[dict[str, Any]]) -> None:
    content = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}
    (folder / "tests.yml").write_text(yaml.safe_dump(content))
    done = subprocess.run(
        ["promtool", "test", "rules", "tests.yml"],
        cwd=folder,
        text=True,
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_in_its_time_alone_and_clears(folder: Path) -> None:
    assert_rules_pass(folder, [promtool_test(case) for case in CASES])


@pytest.mark.parametrize("minutes", [-10, 10])
def test_clock_that_differs_from_that_of_prometheus_fires_nothing(
    folder: Path, minutes: int
) -> None:
    """Clients, RDS and other machines write times by clocks of their own."""
    series = {
        name: str(int(value) + 60 * minutes)
        if re.search(r"(_time|_timestamp)_seconds|_expiry", name)
        else value
        for name, value in HEALTHY.items()
    }
    test = {
        "interval": "1m",
        "input_series": [
            {"series": name, "values": f"{value}{'' if '+' in value else '+0'}x{END}"}
            for name, value in series.items()
        ],
        "alert_rule_test": [
            {"eval_time": f"{END}m", "alertname": alert, "exp_alerts": []}
            for alert in {rule["alert"] for rule in RULES}
        ],
    }

    assert sum(series[name] != HEALTHY[name] for name in HEALTHY) == 5
    assert_rules_pass(folder, [test])


def test_each_alert_has_a_case() -> None:
    assert {case.alert for case in CASES} == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_runbook_of_alert_is_a_section(rule: dict[str, Any]) -> None:
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    page = ROOT / "docs" / path.rpartition("/docs/")[2]
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)

    anchors = {re.sub(r"[^\w -]", "", text).lower().replace(" ", "-") for text in headings}
    assert anchor in anchors
