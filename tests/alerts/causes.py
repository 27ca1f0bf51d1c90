"""What makes each alert fire, on the deployment itself."""

from __future__ import annotations

import contextlib
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg2
import requests

from tests.alerts.champion import create_experiment, experiment_id, log_run
from tests.alerts.clock import RULES, SCRAPE_SECONDS
from tests.alerts.watched import MAX_SERIES
from tests.certificates import reissued
from tests.sites_below import in_network, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.alerts.watched import Watched

CREDENTIALS = "/etc/monitoring/prometheus/metrics_token"
WEBHOOK_FILE = "/etc/monitoring/alertmanager/webhook_url"
AGES = "/var/lib/prometheus/node-exporter/monitoring.prom"
METRICS_PORT = 9102
READY = "http://127.0.0.1:9090/-/prometheus/-/ready"
STARTED = "Prometheus Server is Ready"
DAY = 86400
# From what this machine has free to the threshold; filling it up to the usual one would take long.
DISK_PERCENT = 2
MEMORY_PERCENT = 12
NFT = """
table inet alerts {{
    chain out {{
        type filter hook output priority 0;
        tcp dport {port} reject with tcp reset
    }}
}}
"""


@contextlib.contextmanager
def stopped(site: Watched, *units: str) -> Iterator[None]:
    """Stop units of the host."""
    site.host(f"systemctl stop {' '.join(units)}")
    try:
        yield
    finally:
        site.host(f"systemctl start {' '.join(reversed(units))}")


@contextlib.contextmanager
def replaced(site: Watched, file: str, script: str) -> Iterator[None]:
    """Change a file of the host by a script, for a while; owner and mode stay."""
    site.host(f"cp -p {file} /root/kept\n{script}")
    try:
        yield
    finally:
        site.host(f"cat /root/kept >{file}")


@contextlib.contextmanager
def repeated(work: Callable[[], object], threads: int = 1) -> Iterator[None]:
    """Do something all the time."""
    done = threading.Event()

    def repeat() -> None:
        while not done.is_set():
            work()

    workers = [threading.Thread(target=repeat) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        done.set()
        for worker in workers:
            worker.join()


def refused_token(site: Watched) -> contextlib.AbstractContextManager[None]:
    """Give Prometheus an invalid token."""
    return replaced(site, CREDENTIALS, f"echo expired >{CREDENTIALS}")


@contextlib.contextmanager
def held_up(site: Watched, table: str, seconds: float) -> Iterator[None]:
    """Let each statement about a table wait for a while."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s::regclass"

    def hold() -> None:
        cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            watcher.execute(waiting, [table])
            if watcher.fetchone() != (0,):
                time.sleep(seconds)
                break
            time.sleep(0.05)
        cursor.connection.commit()

    with site.database() as watcher, site.database() as cursor:
        cursor.connection.autocommit = False
        with repeated(hold):
            yield


def slow_endpoint(site: Watched) -> contextlib.AbstractContextManager[None]:
    """Let the statements of the metrics function wait."""
    return held_up(site, "runs", 1)


@contextlib.contextmanager
def too_many_series(site: Watched) -> Iterator[None]:
    """Log more metrics than the endpoint answers with."""
    metrics = {f"metric_{number}": float(number) for number in range(MAX_SERIES + 1)}
    run = log_run(
        site, create_experiment(site, f"many metrics {time.time_ns()}"), "FINISHED", **metrics
    )
    try:
        yield
    finally:
        site.post("runs/delete", run_id=run)


@contextlib.contextmanager
def no_index(site: Watched) -> Iterator[None]:
    """Drop the index over the latest runs."""
    name = "mlflow_latest_run"
    definition = site.sql(f"SELECT pg_get_indexdef('{name}'::regclass)")
    site.sql(f"DROP INDEX {name}")
    try:
        yield
    finally:
        site.sql(definition)


@contextlib.contextmanager
def no_run_for_hours(site: Watched) -> Iterator[None]:
    """Move the start of all runs into the past."""
    move = "UPDATE runs SET start_time = start_time {} 2 * 3600 * 1000"
    site.sql(move.format("-"))
    try:
        yield
    finally:
        site.sql(move.format("+"))


@contextlib.contextmanager
def failed_run(site: Watched) -> Iterator[None]:
    """Let the latest run of an experiment fail, and another one succeed in the end."""
    experiment = create_experiment(site, f"failing {time.time_ns()}")
    log_run(site, experiment, "FAILED")
    try:
        yield
    finally:
        log_run(site, experiment)


@contextlib.contextmanager
def beaten_by_champion(site: Watched) -> Iterator[None]:
    """Log a run that is worse than the champion by a tenth."""
    experiment = experiment_id(site)
    log_run(site, experiment, loss=1.1)
    try:
        yield
    finally:
        log_run(site, experiment, loss=0.9)


def stopped_server(site: Watched) -> contextlib.AbstractContextManager[None]:
    """Stop MLflow, and what would start it again."""
    return stopped(site, "mlflow-watch.timer", "mlflow.service")


@contextlib.contextmanager
def refused_metrics(site: Watched) -> Iterator[None]:
    """Refuse connections to the port of the server's own metrics."""
    process = site.process_of(site.instance)
    in_network(process, "nft", "-f", "-", script=NFT.format(port=METRICS_PORT))
    try:
        yield
    finally:
        in_network(process, "nft", "delete", "table", "inet", "alerts")


@contextlib.contextmanager
def locked_out(site: Watched) -> Iterator[None]:
    """Take its login from the server's role of the database, and ask the server."""
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mlflow_server'"

    def ask() -> None:
        with contextlib.suppress(requests.RequestException):
            site.session.get(
                f"https://{site.address}:5000/api/2.0/mlflow/experiments/get",
                params={"experiment_id": "0"},
                timeout=60,
            )
        time.sleep(0.1)

    # The watchdog would restart the server, which does not start without the database.
    with stopped(site, "mlflow-watch.timer"):
        site.sql("ALTER ROLE mlflow_server NOLOGIN")
        site.sql(end)
        try:
            with repeated(ask):
                yield
        finally:
            site.sql("ALTER ROLE mlflow_server LOGIN")


@contextlib.contextmanager
def slow_server(site: Watched) -> Iterator[None]:
    """Let clients search traces, of which each statement waits."""

    def ask() -> None:
        site.session.get(
            f"https://{site.address}:5000/api/2.0/mlflow/traces",
            params={"experiment_ids": ["0"]},
            timeout=60,
        )

    with held_up(site, "trace_info", 2), repeated(ask, threads=4):
        yield


@contextlib.contextmanager
def expiring_certificate(site: Watched) -> Iterator[None]:
    """Give the proxy a certificate of one hour, on a disk to which it cannot write a new one."""
    data = "/var/lib/caddy/.local/share/caddy"
    drop_in = "/run/systemd/system/caddy.service.d/alerts.conf"
    file = site.host(f"ls {data}/certificates/local/*/*.crt | grep -F {site.address}")
    kept = site.host(f"cat {file}")
    key = site.host(f"cat {data}/pki/authorities/local/intermediate.key")
    short = reissued(f"{kept}\n".encode(), key.encode(), timedelta(hours=1)).decode().strip()
    site.host(
        f"systemctl stop caddy\ncat >{file} <<'END'\n{short}\nEND\nmkdir -p $(dirname {drop_in})\n"
        f"printf '[Service]\\nReadOnlyPaths={data}/certificates\\n' >{drop_in}\n"
        "systemctl daemon-reload\nsystemctl start caddy"
    )
    try:
        yield
    finally:
        site.host(
            f"rm {drop_in}\nsystemctl daemon-reload\nsystemctl stop caddy\n"
            f"cat >{file} <<'END'\n{kept}\nEND\nsystemctl start caddy"
        )


@contextlib.contextmanager
def stopped_database(site: Watched) -> Iterator[None]:
    """Stop the instance of RDS."""
    rds, name = site.aws.client("rds"), f"{site.name}-mlflow"
    rds.stop_db_instance(DBInstanceIdentifier=name)
    try:
        yield
    finally:
        site.wait_for_database("stopped")
        rds.start_db_instance(DBInstanceIdentifier=name)
        site.wait_for_database("available")


@contextlib.contextmanager
def many_connections(site: Watched) -> Iterator[None]:
    """Leave the database a tenth of its connections."""
    count = "SELECT (SELECT count(*) FROM pg_stat_activity) < {} * current_setting('{}')::int"
    with contextlib.ExitStack() as connections, site.database() as cursor:
        while True:
            cursor.execute(count.format(0.9, "max_connections"))
            if cursor.fetchone() == (False,):
                break
            connections.enter_context(site.database())
        yield


@contextlib.contextmanager
def deadlock(site: Watched) -> Iterator[None]:
    """Let two transactions wait for each other."""
    with site.database() as one, site.database() as other:
        one.execute("CREATE TABLE alerts_deadlock AS SELECT generate_series(1, 2) AS id")
        for cursor, row in ((one, 1), (other, 2)):
            cursor.connection.autocommit = False
            cursor.execute("SELECT FROM alerts_deadlock WHERE id = %s FOR UPDATE", [row])

        def wait(cursor: psycopg2.extensions.cursor, row: int) -> None:
            with contextlib.suppress(psycopg2.errors.DeadlockDetected):
                cursor.execute("SELECT FROM alerts_deadlock WHERE id = %s FOR UPDATE", [row])
            cursor.connection.rollback()

        waiting = threading.Thread(target=wait, args=(one, 2))
        waiting.start()
        wait(other, 1)
        waiting.join()
        try:
            yield
        finally:
            one.execute("DROP TABLE alerts_deadlock")
            one.connection.commit()


@contextlib.contextmanager
def room(site: Watched, free: str, total: str, percent: int) -> Iterator[None]:
    """Set the threshold of an alert to so many percent below what the host has free now."""
    [shown] = site.query(f"100 * {free} / {total}")
    threshold = int(float(shown["value"][1])) - percent
    old = f"{free} / {total} < 10 / 100"
    restart = "systemctl restart prometheus"
    with replaced(site, RULES, f"sed -i 's#{old}#{free} / {total} < {threshold} / 100#' {RULES}"):
        site.host(f"grep --quiet '< {threshold} / 100' {RULES}\n{restart}")
        yield
        # A Prometheus that is started again does not know which alerts to end.
        wait_until(lambda: not site.query('ALERTS{alertstate="firing"}'), 60)
    site.host(restart)


@contextlib.contextmanager
def full_disk(site: Watched) -> Iterator[None]:
    """Fill the disk of the host up to the threshold, and a little more."""
    size = f"$(($(stat --file-system --format='%b * %S' /) * {DISK_PERCENT + 3} / 100))"
    free, total = (f'node_filesystem_{name}_bytes{{mountpoint="/"}}' for name in ("avail", "size"))
    with room(site, free, total, DISK_PERCENT):
        site.host(f"fallocate --length {size} /var/tmp/filling")
        try:
            yield
        finally:
            site.host("rm /var/tmp/filling")


@contextlib.contextmanager
def little_memory(site: Watched) -> Iterator[None]:
    """Take memory of the host up to the threshold, and a little more."""
    percent = MEMORY_PERCENT + 5
    hog = (
        "import os, time\n"
        f"size = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') * {percent} // 100\n"
        "taken = b'x' * size\ntime.sleep(600)"
    )
    free, total = (f"node_memory_{name}_bytes" for name in ("MemAvailable", "MemTotal"))
    with room(site, free, total, MEMORY_PERCENT):
        site.host(f'systemd-run --quiet --collect --unit=hog python3 -c "{hog}"')
        try:
            yield
        finally:
            site.host("systemctl stop hog")


@contextlib.contextmanager
def no_backups(site: Watched) -> Iterator[None]:
    """Switch the automated backups of RDS off, and have the host ask RDS at once."""
    rds, name = site.aws.client("rds"), f"{site.name}-mlflow"

    def keep(days: int) -> None:
        rds.modify_db_instance(
            DBInstanceIdentifier=name, BackupRetentionPeriod=days, ApplyImmediately=True
        )
        wait_until(
            lambda: (
                [bool(one.get("LatestRestorableTime")) for one in site.instances()] == [days > 0]
            ),
            120,
        )
        site.wait_for_database("available")
        site.host("systemctl start monitoring-backup.service")

    [days] = [int(one["BackupRetentionPeriod"]) for one in site.instances()]
    keep(0)
    try:
        yield
    finally:
        keep(days)


@contextlib.contextmanager
def no_drill(site: Watched) -> Iterator[None]:
    """Forget the drill, as a host that was replaced does."""
    site.host(f"rm {site.TEXTFILES}/monitoring_drill.prom")
    try:
        yield
    finally:
        site.note_drill()


def old_token(site: Watched) -> contextlib.AbstractContextManager[None]:
    """Let the host have got the token two days ago."""
    then = f"$(($(date +%s) - {2 * DAY}))"
    script = f'sed -i "s/^\\(monitoring_token[^ ]*\\) .*/\\1 {then}/" {AGES}'
    return replaced(site, AGES, script)


def stopped_exporter(site: Watched) -> contextlib.AbstractContextManager[None]:
    """Stop the exporter of the host."""
    return stopped(site, "prometheus-node-exporter")


@contextlib.contextmanager
def failing_rule(site: Watched) -> Iterator[None]:
    """Have two series where the rule of champions expects one."""
    file = f"{site.TEXTFILES}/alerts.prom"
    latest = site.query('mlflow_loss{job="endpoint"}')[0]["metric"]["run_id"]
    site.host(f"echo 'mlflow_loss{{run_id=\"{latest}\"}} 1' >{file}")
    try:
        yield
    finally:
        site.host(f"rm {file}")


@contextlib.contextmanager
def full_storage(site: Watched) -> Iterator[None]:
    """Give Prometheus a storage that is full."""
    folder = "/var/lib/prometheus/metrics2"
    within = "nsenter --target=$(systemctl show --value --property=MainPID prometheus) --mount"
    drop_in = "/run/systemd/system/prometheus.service.d/alerts.conf"
    site.host(
        f"mkdir -p $(dirname {drop_in})\n"
        f"printf '[Service]\\nTemporaryFileSystem={folder}:size=2M,mode=0777\\n' >{drop_in}\n"
        "systemctl daemon-reload\nsystemctl restart prometheus"
    )
    # A storage that is full while Prometheus begins ends the unit, which gets a new one.
    wait_until(lambda: STARTED in site.host(f"curl --silent {READY} || true"), 60)
    time.sleep(2 * SCRAPE_SECONDS)
    site.host(f"{within} sh -c 'head -c 10M /dev/zero >{folder}/filling' || true")
    try:
        yield
    finally:
        site.host(f"rm {drop_in}\nsystemctl daemon-reload\nsystemctl restart prometheus")


@contextlib.contextmanager
def unreachable_alertmanager(site: Watched) -> Iterator[None]:
    """Stop Alertmanager while there is an alert to send."""
    failed = 'ALERTS{alertname="MlflowRunFailed", alertstate="firing"}'
    dropped = "prometheus_notifications_dropped_total"
    # Prometheus might have dropped some while it started.
    [before] = site.query(dropped)
    with stopped(site, "prometheus-alertmanager"):
        with failed_run(site):
            wait_until(lambda: site.query(f"{dropped} > {before['value'][1]}"), 60)
        wait_until(lambda: not site.query(failed), 60)
    wait_until(site.has_alertmanager, 60)
    yield


@contextlib.contextmanager
def refused_notifications(site: Watched) -> Iterator[None]:
    """Have a webhook that nobody answers while there is an alert to send."""
    with (
        replaced(site, WEBHOOK_FILE, f"echo http://127.0.0.1:1/ >{WEBHOOK_FILE}"),
        failed_run(site),
    ):
        yield


CAUSES: dict[str, Callable[[Watched], contextlib.AbstractContextManager[None]]] = {
    "MlflowMetricsDown": refused_token,
    "MlflowMetricsSlow": slow_endpoint,
    "MlflowMetricsDropped": too_many_series,
    "MlflowMetricsIndexMissing": no_index,
    "MlflowNoRun": no_run_for_hours,
    "MlflowRunFailed": failed_run,
    "MlflowRunWorseThanChampion": beaten_by_champion,
    "MlflowServerDown": stopped_server,
    "MlflowServerMetricsMissing": refused_metrics,
    "MlflowServerErrors": locked_out,
    "MlflowServerSlow": slow_server,
    "MlflowCertificateExpires": expiring_certificate,
    "MlflowDatabaseDown": stopped_database,
    "MlflowDatabaseConnections": many_connections,
    "MlflowDatabaseDeadlocks": deadlock,
    "MlflowHostDiskFull": full_disk,
    "MlflowHostMemoryLow": little_memory,
    "MlflowBackupOld": no_backups,
    "MlflowDrillOld": no_drill,
    "MlflowTokenOld": old_token,
    "MonitoringTargetDown": stopped_exporter,
    "MonitoringRulesFail": failing_rule,
    "MonitoringStorageFails": full_storage,
    "MonitoringAlertsNotSent": unreachable_alertmanager,
    "MonitoringNotificationsFail": refused_notifications,
}
