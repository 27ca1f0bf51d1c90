"""The service as its user meets it: real processes, real ports."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import LocalAws
from tests.tracking_server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests


@pytest.fixture
def own(tmp_path: Path) -> Iterator[LocalAws]:
    """A local AWS that is not running yet."""
    made = LocalAws(tmp_path / "state", free_port())
    yield made
    assert made.command("stop").returncode == 0


def containers(aws: LocalAws) -> list[str]:
    listed = subprocess.run(
        ["podman", "ps", "--all", "--quiet", f"--filter=label=local-aws={aws.directory}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.split()


def alive(pid: int) -> bool:
    """Whether a process runs; where nobody reaps it, its entry outlives it."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_start_of_a_running_server_says_so(aws: LocalAws) -> None:
    again = aws.command("start")
    assert again.returncode == 0
    assert "already runs" in again.stdout
    assert aws.command("status").returncode == 0


def test_health_is_served_over_tls(aws: LocalAws, http: requests.Session) -> None:
    answer = http.get(f"https://127.0.0.1:{aws.port}/_local/health").json()
    assert answer["status"] == "ok"
    assert answer["data_dir"] == str(aws.directory)


def test_checkip_returns_the_address_of_the_caller(aws: LocalAws, http: requests.Session) -> None:
    assert http.get(f"https://127.0.0.1:{aws.port}/_local/checkip").text.strip() == "127.0.0.1"


def test_authority_of_the_databases_is_served(aws: LocalAws, http: requests.Session) -> None:
    served = http.get(f"https://127.0.0.1:{aws.port}/_local/rds-ca.pem").text
    assert served == (aws.directory / "rds-ca.pem").read_text()


def test_unknown_path_of_our_own_is_not_found(aws: LocalAws, http: requests.Session) -> None:
    assert http.get(f"https://127.0.0.1:{aws.port}/_local/nothing").status_code == 404
    assert http.post(f"https://127.0.0.1:{aws.port}/moto-api/reset").status_code == 404


def test_plain_http_is_refused_with_the_cure(aws: LocalAws) -> None:
    with socket.create_connection(("127.0.0.1", aws.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"HTTPS only" in answer


def test_silent_clients_do_not_delay_others(aws: LocalAws, http: requests.Session) -> None:
    silent = [socket.create_connection(("127.0.0.1", aws.port)) for _ in range(10)]
    try:
        began = time.monotonic()
        http.get(f"https://127.0.0.1:{aws.port}/_local/health", timeout=10)
        assert time.monotonic() - began < 5
    finally:
        for connection in silent:
            connection.close()


def test_environment_for_clients_is_printed(aws: LocalAws) -> None:
    printed = aws.command("env").stdout
    assert f"export AWS_ENDPOINT_URL=https://127.0.0.1:{aws.port}\n" in printed
    assert f"export AWS_CA_BUNDLE={shlex.quote(str(aws.directory / 'ca.pem'))}\n" in printed


@pytest.mark.parametrize("exported", ["NO_PROXY", "no_proxy"])
def test_environment_for_clients_extends_the_addresses_without_proxy(
    aws: LocalAws, monkeypatch: pytest.MonkeyPatch, exported: str
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(exported, "intra.test")
    printed = aws.command("env").stdout
    # A program reads one of the two first, so each must hold what the other held.
    for name in ("NO_PROXY", "no_proxy"):
        assert f"export {name}=intra.test,127.0.0.1\n" in printed


def test_port_taken_is_refused_with_the_cure(own: LocalAws) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", own.port))
        taken.listen()
        start = own.command("start")
    assert start.returncode == 1
    assert f"Port {own.port}" in start.stderr
    assert "LOCAL_AWS_PORT" in start.stderr
    assert "Traceback" not in start.stderr


def test_port_invalid_is_refused_with_the_cure(own: LocalAws) -> None:
    wrong = LocalAws(own.directory, 70000).command("start")
    assert wrong.returncode == 1
    assert "LOCAL_AWS_PORT=70000" in wrong.stderr


def test_stop_without_a_running_server_is_not_an_error(own: LocalAws) -> None:
    assert own.command("status").returncode == 3
    stop = own.command("stop")
    assert (stop.returncode, stop.stdout.strip()) == (0, "Local AWS was not running")


def test_killed_server_is_cleaned_up_by_the_next_start(own: LocalAws) -> None:
    assert own.command("start").returncode == 0
    pid = int((own.directory / "pid").read_text().split()[0])
    own.client("s3").create_bucket(Bucket="forgotten")
    own.client("s3").put_object(Bucket="forgotten", Key="a", Body=b"a")
    left_over = ["podman", "create", f"--label=local-aws={own.directory}", "--network=none"]
    image = json.loads(
        subprocess.run(
            ["podman", "images", "--format=json"], capture_output=True, check=True
        ).stdout
    )[0]["Id"]
    subprocess.run([*left_over, image, "true"], check=True, capture_output=True)
    os.kill(pid, signal.SIGKILL)
    assert containers(own)
    assert own.command("start").returncode == 0
    assert containers(own) == []
    assert own.client("s3").list_buckets()["Buckets"] == []
    assert list((own.directory / "s3").iterdir()) == []


def test_stop_leaves_only_certificates_and_the_log(own: LocalAws) -> None:
    assert own.command("start").returncode == 0
    pid = int((own.directory / "pid").read_text().split()[0])
    assert own.command("stop").returncode == 0
    assert not alive(pid)
    kept = {path.name for path in own.directory.iterdir()}
    assert kept <= {"ca.pem", "rds-ca.pem", "keys", "log", "lock", "containers.conf"}


def test_server_under_a_private_umask_writes_what_containers_can_read(own: LocalAws) -> None:
    before = os.umask(0o077)
    try:
        started = own.command("start")
    finally:
        os.umask(before)
    assert started.returncode == 0, started.stderr
    pid = int((own.directory / "pid").read_text().split()[0])
    assert re.search(r"^Umask:\s+0022$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert (own.directory / "keys").stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_authority_stays_the_same_over_a_restart(own: LocalAws) -> None:
    assert own.command("start").returncode == 0
    before = (own.directory / "ca.pem").read_bytes()
    own.command("stop")
    assert own.command("start").returncode == 0
    assert (own.directory / "ca.pem").read_bytes() == before


def interrupted_start(own: LocalAws) -> int:
    """Interrupt a start as soon as its server has a process; return the exit code."""
    start = subprocess.Popen(
        # Tests that run in the background inherit that SIGINT is ignored.
        ["env", "--default-signal=INT", sys.executable, "-m", "local_aws", "start"],
        env=own.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not (own.directory / "pid").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    start.send_signal(signal.SIGINT)
    return start.wait(60)


@pytest.mark.slow
def test_interrupted_start_leaves_no_server(own: LocalAws) -> None:
    # On a busy machine the server may be up before the signal is sent: then it is stopped again.
    for _ in range(10):
        if interrupted_start(own) == 130:
            break
        assert own.command("stop").returncode == 0
    else:
        pytest.fail("the start was never interrupted")
    assert own.command("status").returncode == 3
    assert own.command("start").returncode == 0
