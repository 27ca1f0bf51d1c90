"""Role log_shipping with VictoriaLogs, a server that takes Loki's push requests.

Loki itself is in no package of Debian. VictoriaLogs' source is: in that of VictoriaMetrics, which
the Go of Debian 13 builds for minutes.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.log_shipping import journal
from tests.unit.log_shipping.journal import journal_host, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.systemd_host import SystemdHost

pytestmark = pytest.mark.slow

# Of what victoria-logs imports. Without them its packages of Debian bring Google's and Amazon's.
PACKAGES = [
    "golang-go",
    "golang-github-victoriametrics-victoriametrics-dev",
    "golang-github-victoriametrics-easyproto-dev",
    "golang-github-victoriametrics-fastcache-dev",
    "golang-github-victoriametrics-metrics-dev",
    "golang-github-victoriametrics-metricsql-dev",
    "golang-github-valyala-fastjson-dev",
    "golang-github-valyala-fastrand-dev",
    "golang-github-valyala-histogram-dev",
    "golang-github-valyala-quicktemplate-dev",
    "golang-golang-x-net-dev",
]
SOURCE = "/usr/share/gocode/src/github.com/VictoriaMetrics/VictoriaMetrics"
BUILD = f"""
set -e
apt-get update --quiet=2
apt-get install --quiet=2 --yes --no-install-recommends {" ".join(PACKAGES)} >/dev/null
cd {SOURCE}
export GOPATH=/usr/share/gocode GO111MODULE=off CGO_ENABLED=0 GOCACHE=/srv/cache
go build -o /srv/victoria-logs ./app/victoria-logs
"""
PORT = 9428
VARIABLES = {
    "log_shipping_target": "loki",
    "log_shipping_loki_url": f"http://127.0.0.1:{PORT}/insert/loki/api/v1/push",
    "log_shipping_labels": {"deployment": "demo"},
}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdHost]:
    """A host that sends its journal to the VictoriaLogs on it."""
    with journal_host(tmp_path_factory.mktemp("shipping"), "victorialogs") as host:
        host.run("sh", "-c", BUILD)
        start(host)
        recap, output = host.play_role("log_shipping", VARIABLES)
        assert recap["failed"] == 0, output
        yield host


def start(host: SystemdHost) -> None:
    host.run(
        *("systemd-run", "--unit=victorialogs", "--collect", "/srv/victoria-logs"),
        *(f"-httpListenAddr=127.0.0.1:{PORT}", "-storageDataPath=/srv/logs"),
    )


def stored(host: SystemdHost, program: str) -> list[dict[str, Any]]:
    """Return what the server has of a program."""
    answer = host.run(
        *("curl", "--silent", "--fail", f"http://127.0.0.1:{PORT}/select/logsql/query"),
        *("--data-urlencode", f'query={{program="{program}"}}'),
        check=False,
    ).stdout
    return [json.loads(line) for line in answer.splitlines()]


def wait_for(host: SystemdHost, program: str, count: int, seconds: float = 120) -> list[str]:
    """Wait until the server has so many different lines; return all of them."""
    deadline = time.monotonic() + seconds
    while True:
        found = [one["_msg"] for one in stored(host, program)]
        if len(set(found)) >= count or time.monotonic() > deadline:
            return found
        time.sleep(1)


def test_line_is_stored_with_its_labels_time_and_characters(host: SystemdHost) -> None:
    write(host, "single", 7, 8)
    assert wait_for(host, "single", 1) == [journal.line(7)]
    [found] = stored(host, "single")

    assert found["deployment"] == "demo"
    assert found["host"] == host.run("hostname").stdout.strip()
    assert abs(datetime.fromisoformat(found["_time"]) - datetime.now(UTC)) < timedelta(minutes=10)


def test_outage_of_the_server_loses_no_line(host: SystemdHost) -> None:
    host.run("systemctl", "stop", "victorialogs")
    write(host, "outage", 0, 5000)
    time.sleep(12)
    host.run("systemctl", "restart", "log-shipping")
    write(host, "outage", 5000, 6000)
    start(host)
    found = wait_for(host, "outage", 6000, seconds=300)

    assert set(found) == {journal.line(number) for number in range(6000)}
