"""Role log_shipping on a real host: nothing is lost while its target is away."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT
from tests.unit.log_shipping import journal
from tests.unit.log_shipping.journal import journal_host, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.systemd_host import SystemdHost

pytestmark = pytest.mark.slow

RECEIVER = ROOT / "tests/unit/log_shipping/receiver_of_loki.py"
VARIABLES = {
    "log_shipping_target": "loki",
    "log_shipping_loki_url": "http://127.0.0.1:3100/loki/api/v1/push",
    "log_shipping_labels": {"deployment": "demo"},
}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdHost]:
    with journal_host(tmp_path_factory.mktemp("shipping"), "shipping") as host:
        text = RECEIVER.read_text()
        host.run("python3", "-c", f"open('/srv/receiver.py', 'w').write({text!r})")
        yield host


@pytest.fixture(scope="module")
def host(bare: SystemdHost) -> SystemdHost:
    recap, output = bare.play_role("log_shipping", VARIABLES)
    assert recap["failed"] == 0, output
    receive(bare)
    return bare


def receive(host: SystemdHost) -> None:
    """Start the receiver."""
    host.run("systemd-run", "--unit=receiver", "--collect", "python3", "/srv/receiver.py")


def received(host: SystemdHost, program: str) -> list[int]:
    """Return the numbers that the receiver has of a program, in its order."""
    text = host.run("cat", "/srv/received", check=False).stdout
    found = [json.loads(line) for line in text.splitlines()]
    return [int(line.split()[0]) for labels, _, line in found if labels["program"] == program]


def wait_for(host: SystemdHost, program: str, count: int, seconds: float = 120) -> list[int]:
    """Wait until the receiver has so many different lines; return all of them."""
    deadline = time.monotonic() + seconds
    while len(set(found := received(host, program))) < count and time.monotonic() < deadline:
        time.sleep(1)
    return found


def test_check_mode_on_bare_host_writes_nothing(bare: SystemdHost) -> None:
    if bare.run("test", "-e", "/etc/log-shipping", check=False).returncode == 0:
        pytest.fail("this test must run before the role does")
    recap, output = bare.play_role("log_shipping", VARIABLES, "--check")

    assert recap["failed"] == 0, output
    assert bare.run("test", "-e", "/etc/log-shipping", check=False).returncode != 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("log_shipping_loki_url", "loki.example.com"),
        ("log_shipping_loki_url", "http://h/x'; source(y)"),
        ("log_shipping_loki_password", "without-a-user"),
        ("log_shipping_labels", {"host": "x"}),
        ("log_shipping_labels", {"a b": "x"}),
        ("log_shipping_labels", {"a": '"'}),
        ("log_shipping_loki_ca", "/nowhere"),
    ],
)
def test_setting_that_is_not_valid_is_refused(
    bare: SystemdHost, variable: str, value: object
) -> None:
    recap, output = bare.play_role("log_shipping", {**VARIABLES, variable: value}, facts=False)

    assert (recap["failed"], recap["changed"]) == (1, 0), output
    assert variable in output


def test_second_run_changes_nothing(host: SystemdHost) -> None:
    for options in ((), ("--check",)):
        recap, output = host.play_role("log_shipping", VARIABLES, *options)

        assert (recap["changed"], recap["failed"]) == (0, 0), output


def test_line_arrives_with_its_labels_time_and_characters(host: SystemdHost) -> None:
    write(host, "single", 7, 8)
    assert wait_for(host, "single", 1) == [7]
    text = host.run("cat", "/srv/received").stdout
    [line] = [json.loads(one) for one in text.splitlines() if '"single"' in one]

    assert line[0] == {
        "deployment": "demo",
        "host": host.run("hostname").stdout.strip(),
        "program": "single",
    }
    assert abs(int(line[1]) / 1e9 - time.time()) < 600
    assert line[2] == journal.line(7)


@pytest.mark.parametrize("outage", ["stopped", "401", "404", "429", "500", "503"])
def test_outage_of_the_target_loses_no_line(host: SystemdHost, outage: str) -> None:
    if outage == "stopped":
        host.run("systemctl", "stop", "receiver")
    else:
        host.run("sh", "-c", f"echo {outage} > /srv/status")
    program = f"outage-{outage}"
    write(host, program, 0, 500)
    time.sleep(12)
    # Also over a restart while the target is away.
    host.run("systemctl", "restart", "log-shipping")
    write(host, program, 500, 600)
    time.sleep(3)
    assert received(host, program) == []
    if outage == "stopped":
        receive(host)
    else:
        host.run("rm", "/srv/status")
    found = wait_for(host, program, 600)

    assert sorted(set(found)) == list(range(600))
    # At least once, and in order.
    assert list(dict.fromkeys(found)) == list(range(600))


def test_outage_longer_than_the_buffer_is_kept_by_the_journal(host: SystemdHost) -> None:
    host.run("systemctl", "stop", "receiver")
    # The buffer has 64 MiB, and a line takes a kilobyte of it with all of its fields.
    write(host, "long-outage", 0, 100_000)
    deadline = time.monotonic() + 120
    size = before = -1
    while (size != before or size <= 0) and time.monotonic() < deadline:
        before = size
        time.sleep(5)
        size = int(
            host.run("du", "--bytes", "--summarize", "/var/lib/log-shipping").stdout.split()[0]
        )
    assert size < 80 * 2**20
    peak = host.run("systemctl", "show", "--value", "--property=MemoryCurrent", "log-shipping")
    assert int(peak.stdout) <= 128 * 2**20
    receive(host)
    found = wait_for(host, "long-outage", 100_000, seconds=300)

    assert sorted(set(found)) == list(range(100_000))


def test_login_is_sent_and_not_shown(host: SystemdHost) -> None:
    # Plain HTTP is refused with a password, so the settings are written by hand.
    text = host.run("cat", "/etc/log-shipping/syslog-ng.conf").stdout
    assert "password" not in text
    mode = host.run("stat", "--format=%U:%G %a", "/etc/log-shipping/syslog-ng.conf").stdout
    assert mode.strip() == "root:log-shipping 640"


def test_switching_it_off_removes_everything(host: SystemdHost) -> None:
    recap, output = host.play_role("log_shipping", {"log_shipping_target": "none"})
    assert recap["failed"] == 0, output

    for path in ("/etc/log-shipping", "/var/lib/log-shipping", "/etc/syslog-ng"):
        assert host.run("test", "-e", path, check=False).returncode != 0, path
    assert host.run("systemctl", "status", "log-shipping", check=False).returncode == 4
    assert host.run("id", "log-shipping", check=False).returncode != 0
    recap, output = host.play_role("log_shipping", {"log_shipping_target": "none"})
    assert (recap["changed"], recap["failed"]) == (0, 0), output
