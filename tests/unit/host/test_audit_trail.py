"""The audit trail on a real host: its file, its rotation, its copy in the journal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT
from tests.systemd_host import SystemdHost, booted

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

FILE = "/var/log/mlflow/audit.jsonl"
LSATTR = "/usr/bin/lsattr"
ROTATION = "/etc/logrotate.d/mlflow-audit"
RECORD = f"""
import sys
from pathlib import Path
sys.path.insert(0, "/srv")
from audit import Trail
Trail(Path("{FILE}")).record(user="leo", action="delete_run")
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdHost]:
    folder = tmp_path_factory.mktemp("audit")
    with booted(folder, f"audit-{folder.parent.name}", 5000) as host:
        host.run("apt-get", "update", "--quiet")
        host.run("apt-get", "install", "--yes", "--quiet", "logrotate", "e2fsprogs")
        host.run("useradd", "--system", "mlflow")
        audit = (ROOT / "server/mlflow_host/audit.py").read_text()
        host.run("python3", "-c", f"open('/srv/audit.py', 'w').write({audit!r})")
        yield host


@pytest.fixture(scope="module")
def host(bare: SystemdHost) -> SystemdHost:
    recap, output = play(bare)
    assert recap["failed"] == 0, output
    return bare


def play(host: SystemdHost, *options: str, **variables: object) -> tuple[dict[str, int], str]:
    return host.play_role("mlflow", variables, *options, tasks_from="audit")


def as_service(host: SystemdHost, *command: str) -> bool:
    """Run a command as the service's user; return whether it succeeds."""
    return host.run("runuser", "--user=mlflow", "--", *command, check=False).returncode == 0


def append_only(host: SystemdHost) -> bool:
    """Say whether the file system has the attribute, and the file too."""
    found = host.run("lsattr", FILE, check=False)
    return found.returncode == 0 and "a" in found.stdout.split()[0]


def test_check_on_a_bare_host_writes_nothing(bare: SystemdHost) -> None:
    # The package of lsattr is one that the role would install.
    bare.run("mv", LSATTR, f"{LSATTR}.hidden")
    recap, output = play(bare, "--check")
    bare.run("mv", f"{LSATTR}.hidden", LSATTR)

    assert recap["failed"] == 0, output
    assert bare.run("test", "-e", FILE, check=False).returncode != 0


def test_second_run_changes_nothing(host: SystemdHost) -> None:
    for options in ((), ("--check",)):
        recap, output = play(host, *options)

        assert (recap["changed"], recap["failed"]) == (0, 0), output


def test_attributes_that_cannot_be_read_are_an_error(host: SystemdHost) -> None:
    host.run("mv", LSATTR, f"{LSATTR}.hidden")
    try:
        recap, output = play(host)
    finally:
        host.run("mv", f"{LSATTR}.hidden", LSATTR)

    assert recap["failed"] == 1, output
    assert "lsattr" in output


def test_service_appends_and_does_nothing_else(host: SystemdHost) -> None:
    before = host.run("cat", FILE).stdout
    assert as_service(host, "python3", "-c", RECORD)
    after = host.run("cat", FILE).stdout

    assert after.startswith(before)
    assert json.loads(after.splitlines()[-1])["user"] == "leo"
    assert host.run("stat", "--format=%U:%G %a", FILE).stdout.strip() == "root:mlflow 620"
    assert not as_service(host, "cat", FILE)
    assert not as_service(host, "rm", "--force", FILE)
    assert not as_service(host, "mv", FILE, f"{FILE}.moved")
    if append_only(host):
        assert not as_service(host, "truncate", "--size=0", FILE)
        assert host.run("truncate", "--size=0", FILE, check=False).returncode != 0


def test_record_has_a_copy_in_the_journal_under_its_own_name(host: SystemdHost) -> None:
    assert as_service(host, "python3", "-c", RECORD)
    host.run("journalctl", "--sync")
    text = host.run("journalctl", "--identifier=mlflow-audit", "--output=cat", "--no-pager").stdout

    assert json.loads(text.splitlines()[-1])["action"] == "delete_run"


def test_rotation_begins_a_file_that_the_service_can_append_to(host: SystemdHost) -> None:
    assert as_service(host, "python3", "-c", RECORD)
    before = host.run("cat", FILE).stdout
    had = append_only(host)
    host.run("logrotate", "--force", ROTATION)
    assert as_service(host, "python3", "-c", RECORD)

    former = host.run("sh", "-c", f"cat {FILE}-*").stdout
    assert former.endswith(before)
    assert len(host.run("cat", FILE).stdout.splitlines()) == 1
    assert host.run("stat", "--format=%U:%G %a", FILE).stdout.strip() == "root:mlflow 620"
    assert append_only(host) is had


def test_switching_it_off_removes_the_rotation_and_keeps_the_trail(host: SystemdHost) -> None:
    recap, output = play(host, mlflow_audit=False)

    assert (recap["changed"], recap["failed"]) == (1, 0), output
    assert host.run("test", "-e", ROTATION, check=False).returncode != 0
    assert host.run("test", "-s", FILE, check=False).returncode == 0
    recap, output = play(host)
    assert (recap["changed"], recap["failed"]) == (1, 0), output
