"""Role log_shipping on a real host, with CloudWatch Logs as moto answers it."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.systemd_host import SystemdHost, booted

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

GROUP = "/mlflow/demo/host"
VARIABLES = {
    "log_shipping_target": "cloudwatch",
    "log_shipping_cloudwatch_group": GROUP,
    "log_shipping_aws_region": "us-east-1",
}
ENVIRONMENT = "AWS_ENDPOINT_URL={url} AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test"
LINES = """
import json, sys
for number in range(int(sys.argv[1]), int(sys.argv[2])):
    print(json.dumps({"number": number, "text": "é" * 50}), flush=True)
"""


def logs(url: str) -> Any:
    return boto3.client(
        "logs",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdHost]:
    folder = tmp_path_factory.mktemp("cloudwatch")
    with booted(folder, f"cloudwatch-{folder.parent.name}", 5000) as host:
        yield host


@pytest.fixture(scope="module")
def url(host: SystemdHost) -> Iterator[str]:
    """The address of AWS, which the host knows as instances of local AWS do."""
    [gateway] = re.findall(r"default via (\S+)", host.run("ip", "route").stdout)
    server = ThreadedMotoServer(ip_address=gateway, port=0)
    server.start()
    url = f"http://{gateway}:{server.get_host_and_port()[1]}"
    logs(url).create_log_group(logGroupName=GROUP)
    text = f"[Manager]\nDefaultEnvironment={ENVIRONMENT.format(url=url)}\n"
    host.run("mkdir", "--parents", "/etc/systemd/system.conf.d")
    path = "/etc/systemd/system.conf.d/aws.conf"
    host.run("python3", "-c", f"open({path!r}, 'w').write({text!r})")
    host.run("systemctl", "daemon-reexec")
    recap, output = host.play_role("log_shipping", VARIABLES)
    assert recap["failed"] == 0, output
    yield url
    server.stop()


def write(host: SystemdHost, program: str, start: int, end: int) -> None:
    """Write numbered lines to the journal."""
    host.run(
        *(
            "systemd-run",
            "--wait",
            "--collect",
            "--quiet",
            f"--property=SyslogIdentifier={program}",
        ),
        *("--setenv=PYTHONIOENCODING=utf-8", "python3", "-c", LINES, str(start), str(end)),
    )


def wait_for(url: str, program: str, count: int) -> list[dict[str, Any]]:
    """Return the events of a program, once there are so many."""
    deadline = time.monotonic() + 120
    while True:
        pages = logs(url).get_paginator("filter_log_events").paginate(logGroupName=GROUP)
        texts = [json.loads(event["message"]) for page in pages for event in page["events"]]
        found = [text for text in texts if text["program"] == program]
        if len(found) >= count or time.monotonic() > deadline:
            return found
        time.sleep(1)


def test_second_run_changes_nothing(host: SystemdHost, url: str) -> None:
    for options in ((), ("--check",)):
        recap, output = host.play_role("log_shipping", VARIABLES, *options)

        assert url
        assert (recap["changed"], recap["failed"]) == (0, 0), output


def test_lines_arrive_once_and_in_order(host: SystemdHost, url: str) -> None:
    write(host, "program", 0, 300)

    found = wait_for(url, "program", 300)
    assert found == [{"program": "program", "number": n, "text": "é" * 50} for n in range(300)]


def test_outage_and_restart_lose_no_line(host: SystemdHost, url: str) -> None:
    # What the host has reached until now is not there for a while.
    port = url.rpartition(":")[2]
    rule = ("OUTPUT", "--protocol", "tcp", "--dport", port, "--jump", "DROP")
    host.run("apt-get", "install", "--yes", "--quiet", "iptables")
    host.run("iptables", "--append", *rule)
    write(host, "outage", 0, 200)
    time.sleep(15)
    host.run("systemctl", "restart", "log-shipping")
    write(host, "outage", 200, 250)
    memory = host.run("systemctl", "show", "--value", "--property=MemoryCurrent", "log-shipping")
    host.run("iptables", "--delete", *rule)

    numbers = [one["number"] for one in wait_for(url, "outage", 250)]
    assert list(dict.fromkeys(numbers)) == list(range(250))
    assert int(memory.stdout) < 128 * 2**20


def test_switching_it_off_removes_everything(host: SystemdHost, url: str) -> None:
    recap, output = host.play_role("log_shipping", {"log_shipping_target": "none"})
    assert recap["failed"] == 0, output

    assert url
    for path in ("/etc/log-shipping", "/var/lib/log-shipping"):
        assert host.run("test", "-e", path, check=False).returncode != 0, path
    assert host.run("systemctl", "status", "log-shipping", check=False).returncode == 4
    recap, output = host.play_role("log_shipping", {"log_shipping_target": "none"})
    assert (recap["changed"], recap["failed"]) == (0, 0), output
