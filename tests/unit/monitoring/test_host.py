"""Role `monitoring` on a real host of Debian 13, with a PostgreSQL and the sources of metrics."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.systemd_host import SystemdHost, booted
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

TOKEN = "token-of-prometheus-0123456789abcdef"
PASSWORD = "password-of-the-exporter-0123456789"
MASTER = "password-of-the-master-0123456789"
UNITS = (
    "prometheus",
    "prometheus-alertmanager",
    "prometheus-postgres-exporter",
    "prometheus-blackbox-exporter",
)
PROMETHEUS = "http://127.0.0.1:9090/-/prometheus"
ALERTMANAGER = "http://127.0.0.1:9093/-/alertmanager"
# A client gets one metric, with the token.
SOURCES = f"""
import http.server

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        allowed = self.headers["Authorization"] == "Bearer {TOKEN}" or self.path == "/health"
        body = b"mlflow_mse 0.5\\n"
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("127.0.0.1", 5000), Handler).serve_forever()
"""
# ruff: noqa: S608  a script, without input of anyone
# PostgreSQL with a certificate for its name, and a master user like that of RDS.
DATABASE = f"""
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -y install --no-install-recommends postgresql openssl >/dev/null
cd /etc/ssl
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \\
  -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout db.key -out db.pem 2>/dev/null
chown postgres db.key
su postgres -c "psql -qc \\"
  ALTER SYSTEM SET ssl_cert_file = '/etc/ssl/db.pem'\\" -c \\"
  ALTER SYSTEM SET ssl_key_file = '/etc/ssl/db.key'\\" -c \\"
  CREATE ROLE master LOGIN CREATEDB CREATEROLE PASSWORD '{MASTER}'\\" -c \\"
  GRANT pg_monitor TO master WITH ADMIN OPTION\\""
systemctl restart postgresql
"""


class Host(SystemdHost):
    """A host with what Prometheus scrapes, before and after the role."""

    def play(self, *options: str, **variables: object) -> tuple[dict[str, int], str]:
        """Run the role; return the sums of its recap and its output."""
        defaults = {
            "monitoring_enabled": True,
            "monitoring_scrape_seconds": 5,
            "monitoring_server_url": "http://mlflow.test:5000",
            "monitoring_server_port": 5000,
            "monitoring_prometheus_url": "https://mlflow.test/-/prometheus",
            "monitoring_alertmanager_url": "https://mlflow.test/-/alertmanager",
            "monitoring_metrics_url": "http://127.0.0.1:5000/metrics",
            "monitoring_metrics_token": TOKEN,
            "monitoring_database_host": "localhost",
            "monitoring_database_password": PASSWORD,
            "monitoring_database_admin_user": "master",
            "monitoring_database_admin_password": MASTER,
            "monitoring_database_ca_path": "/etc/ssl/db.pem",
        }
        return self.play_role("monitoring", defaults | variables, *options)

    def get(self, url: str) -> Any:
        """Return the JSON of an answer on the host."""
        return json.loads(self.run("curl", "--silent", "--fail", url).stdout)

    def value(self, query: str) -> float | None:
        """Return the first value of a query of Prometheus."""
        url = f"{PROMETHEUS}/api/v1/query?query={query}"
        result = self.get(url)["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    def paths(self) -> set[str]:
        """List what the role may leave: files, packages, units, logins of the database."""
        found = self.run("sh", "-c", "find /etc /var/lib /var/log /usr/share -print")
        packages = self.run("sh", "-c", "dpkg-query -W -f '${Package} ${db:Status-Abbrev}\\n'")
        roles = self.run("su", "postgres", "-c", "psql -Atc 'SELECT rolname FROM pg_roles'")
        everything = found.stdout + packages.stdout + roles.stdout
        return {line for line in everything.splitlines() if "prometheus" in line or "monit" in line}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host with a database, and a source of metrics that requires a token."""
    folder = tmp_path_factory.mktemp("monitoring")
    with booted(folder, f"monitoring-{folder.parent.name}", 9090) as host:
        host.run("bash", "-c", DATABASE)
        # Not as an argument, where a test looks for secrets.
        write = ("exec", "--interactive", host.name, "sh", "-c", "cat > /root/sources.py")
        host.podman.run(*write, input=SOURCES)
        host.run("systemd-run", "--unit=sources", "/usr/bin/python3", "/root/sources.py")
        yield Host(host.name, host.podman, host.port, folder)


@pytest.fixture(scope="module")
def before(bare: Host) -> set[str]:
    """What was there before the role."""
    return bare.paths()


@pytest.fixture(scope="module")
def host(bare: Host, before: set[str]) -> Host:
    """The same host after the role."""
    assert before is not None
    recap, output = bare.play()
    assert (recap["failed"], recap["unreachable"]) == (0, 0), output
    return bare


def test_check_mode_on_a_new_host_changes_nothing(bare: Host, before: set[str]) -> None:
    recap, output = bare.play("--check")

    assert recap["failed"] == 0, output
    assert bare.paths() == before


def test_disabled_role_does_nothing_on_a_new_host(bare: Host) -> None:
    recap, output = bare.play(monitoring_enabled=False)

    assert (recap["failed"], recap["changed"]) == (0, 0), output


def test_all_targets_are_up(host: Host) -> None:
    jobs = {"endpoint", "server", "postgres", "blackbox", "alertmanager", "prometheus"}

    def health() -> dict[str, str]:
        targets = host.get(f"{PROMETHEUS}/api/v1/targets")["data"]["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in targets}

    assert eventually(lambda: health() == dict.fromkeys(jobs, "up")), health()
    assert host.value("mlflow_mse") == 0.5
    assert host.value("pg_up") == 1
    assert host.value("probe_success") == 1


def test_prometheus_knows_the_alertmanager(host: Host) -> None:
    found = host.get(f"{PROMETHEUS}/api/v1/alertmanagers")["data"]["activeAlertmanagers"]

    assert [item["url"] for item in found] == [f"{ALERTMANAGER}/api/v2/alerts"]
    assert host.get(f"{ALERTMANAGER}/api/v2/status")["config"]["original"]


def test_second_run_changes_nothing(host: Host) -> None:
    for options in ((), ("--check",)):
        recap, output = host.play(*options)

        assert (recap["changed"], recap["failed"]) == (0, 0), output


def test_units_listen_on_loopback_only(host: Host) -> None:
    lines = host.run("ss", "--no-header", "-ltnp").stdout.splitlines()
    addresses = {line.split()[3] for line in lines if "prometheus" in line}

    assert addresses == {f"127.0.0.1:{port}" for port in (9090, 9093, 9115, 9187)}


@pytest.mark.parametrize("unit", UNITS)
def test_unit_is_confined(host: Host, unit: str) -> None:
    names = ("User", "ProtectSystem", "NoNewPrivileges", "PrivateTmp", "CapabilityBoundingSet")
    shown = host.run("systemctl", "show", f"{unit}.service", f"--property={','.join(names)}")
    memory = host.run("systemctl", "show", "--value", "--property=MemoryMax", unit).stdout.strip()

    assert dict(line.split("=", 1) for line in shown.stdout.splitlines()) == {
        "User": "prometheus",
        "ProtectSystem": "strict",
        "NoNewPrivileges": "yes",
        "PrivateTmp": "yes",
        "CapabilityBoundingSet": "",
    }
    assert int(memory) == (512 if unit == "prometheus" else 128) * 2**20


@pytest.mark.parametrize(
    ("unit", "path", "readable"),
    [
        ("prometheus", "/etc/monitoring/prometheus/metrics_token", "yes"),
        ("prometheus", "/etc/monitoring/postgres-exporter/password", "no"),
        ("prometheus-postgres-exporter", "/etc/monitoring/postgres-exporter/password", "yes"),
        ("prometheus-postgres-exporter", "/etc/monitoring/prometheus/metrics_token", "no"),
        ("prometheus-blackbox-exporter", "/etc/monitoring/prometheus/metrics_token", "no"),
        ("prometheus-alertmanager", "/etc/monitoring/postgres-exporter/password", "no"),
    ],
)
def test_secret_is_readable_by_its_unit_only(
    host: Host, unit: str, path: str, readable: str
) -> None:
    main = host.run("systemctl", "show", "--value", "--property=MainPID", unit).stdout.strip()
    # What the unit does not see, not even root would read there.
    done = host.run("nsenter", f"--target={main}", "--mount", "cat", path, check=False)
    plain = host.run("stat", "-c", "%U %G %a", path).stdout.split()

    assert (done.returncode == 0) == (readable == "yes"), done.stderr
    assert plain == ["root", "prometheus", "640"]


def test_secrets_are_neither_in_arguments_nor_in_units(host: Host) -> None:
    shown = host.run("sh", "-c", "ps -ef; systemctl cat 'prometheus*'; cat /proc/[0-9]*/environ")

    for secret in (TOKEN, PASSWORD, MASTER):
        assert secret not in shown.stdout


def test_exporter_reads_statistics_and_no_table(host: Host) -> None:
    query = (
        "SELECT pg_has_role('mlflow_monitoring', 'pg_monitor', 'USAGE'),"
        " has_table_privilege('mlflow_monitoring', 'pg_authid', 'SELECT')"
    )
    answer = host.run("su", "postgres", "-c", f'psql -Atc "{query}"').stdout.strip()

    assert answer == "t|f"


def test_changed_password_is_set_and_not_shown(host: Host) -> None:
    recap, output = host.play("-vvv", monitoring_database_password=f"{PASSWORD}2")

    assert recap["failed"] == 0, output
    assert eventually(lambda: host.value("pg_up") == 1)
    for secret in (TOKEN, PASSWORD, MASTER):
        assert secret not in output


def test_release_without_a_recent_prometheus_is_refused(host: Host) -> None:
    recap, output = host.play(__monitoring_releases=["forky"])

    assert (recap["failed"], recap["changed"]) == (1, 0), output
    assert "monitoring_enabled: true is not a valid value on Debian 13" in output


# The last test: it removes what the others look at.
def test_disabled_role_leaves_nothing(host: Host, before: set[str]) -> None:
    recap, output = host.play("--check", monitoring_enabled=False)
    assert recap["failed"] == 0, output
    assert recap["changed"] > 0, output
    recap, output = host.play(monitoring_enabled=False)
    assert recap["failed"] == 0, output

    assert host.paths() == before
    units = host.run("systemctl", "list-units", "--all", "--no-legend", "prometheus*").stdout
    assert units == ""
    recap, output = host.play(monitoring_enabled=False)
    assert (recap["failed"], recap["changed"]) == (0, 0), output
