"""A deployment whose clients exchange artifacts with S3: the proxy passes none.

All are slow: one deployment is made for them, and deleted by the last one.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.conftest import BIN, ROOT, LocalAws, started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

NAME = "presigned"
PORT = 5561
MIB = 1 << 20
LARGE = 60 * MIB
# The proxy's log of a request, as far as it is about bytes.
LOG = (
    "sudo journalctl --unit=caddy --output=cat --no-pager --since=@{since}"
    " | grep --fixed-strings handled"
)


@dataclass(frozen=True)
class Deployment:
    """What the playbooks made."""

    aws: LocalAws

    @property
    def directory(self) -> Path:
        """Keys and outputs."""
        return ROOT / ".deploy" / NAME

    @property
    def environment(self) -> dict[str, str]:
        """What a client exports."""
        lines = (self.directory / "mlflow.env").read_text().splitlines()
        pairs = [line.split("=", 1) for line in lines if line and line[0] != "#"]
        return {name: shlex.split(value)[0] for name, value in pairs}

    def play(self, playbook: str, mode: str, *arguments: str) -> dict[str, int]:
        """Run a playbook that succeeds, in a mode; return its recap."""
        play = self.aws.play(playbook, "-e", f"mlflow_artifacts_presigned={mode}", *arguments)
        assert play.returncode == 0, play.output
        return play.recap

    def ssh(self, command: str) -> str:
        """Run a command on the host."""
        outputs = json.loads((self.directory / "outputs.json").read_text())
        done = subprocess.run(
            [*shlex.split(outputs["ssh_command"]), command],
            text=True,
            capture_output=True,
            check=True,
        )
        return done.stdout

    def transfer(self, folder: Path) -> list[dict[str, Any]]:
        """Send and fetch as a user does; return what the proxy has logged of it."""
        since = self.ssh("date +%s").strip()
        done = subprocess.run(
            [BIN / "python", ROOT / "tests/e2e/client_transfers.py", folder, str(LARGE), "20"],
            env={"PATH": os.environ["PATH"], "HOME": str(folder.parent), **self.environment},
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        shutil.rmtree(folder)
        return [json.loads(line) for line in self.ssh(LOG.format(since=since)).splitlines()]

    def roles_policies(self) -> list[str]:
        """Return the names of the policies of the host's role."""
        role = f"{NAME}-mlflow-host-us-east-1"
        found: list[str] = self.aws.client("iam").list_role_policies(RoleName=role)["PolicyNames"]
        return found


def artifact_bytes(log: list[dict[str, Any]]) -> int:
    """Return how many bytes of artifacts the proxy has passed, in both directions."""
    return sum(
        entry["bytes_read"] + entry["size"] * (entry["request"]["method"] == "GET")
        for entry in log
        if "/mlflow-artifacts/artifacts/" in entry["request"]["uri"]
    )


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    # What an interrupted run has left on this machine would be found and not planned.
    shutil.rmtree(ROOT / ".deploy" / NAME, ignore_errors=True)
    variables = {"deployment": NAME, "monitoring_enabled": False}
    for aws in started(LocalAws(ROOT / ".cache/presigned", PORT, variables)):
        made = Deployment(aws)
        made.play("site.yml", "only")
        yield made


def test_second_run_changes_nothing(deployment: Deployment) -> None:
    assert deployment.play("site.yml", "only")["changed"] == 0


def test_only_passes_no_byte_of_artifacts_through_the_host(
    deployment: Deployment, tmp_path: Path
) -> None:
    log = deployment.transfer(tmp_path / "transfers")

    assert any("/mpu/create/" in entry["request"]["uri"] for entry in log)
    assert any("/presigned/" in entry["request"]["uri"] for entry in log)
    assert artifact_bytes(log) == 0
    # Requests and answers of all else, listings and runs among them.
    assert sum(entry["bytes_read"] + entry["size"] for entry in log) < MIB


def test_only_refuses_client_that_streams_with_the_cure(deployment: Deployment) -> None:
    environ = deployment.environment
    answer = requests.put(
        f"{environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow-artifacts/artifacts/0/a/artifacts/large",
        data=bytes(LARGE),
        auth=(environ["MLFLOW_TRACKING_USERNAME"], environ["MLFLOW_TRACKING_PASSWORD"]),
        verify=environ["MLFLOW_TRACKING_SERVER_CERT_PATH"],
        timeout=120,
    )

    assert answer.status_code == 403
    assert "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE=1" in answer.json()["message"]


def test_host_logs_its_check_in_mode_only(deployment: Deployment) -> None:
    directory = f"deployment_dir={deployment.directory}"
    deployment.play(str(ROOT / "tests/presigned/check.yml"), "only", "-e", directory)


def test_audit_trail_of_host_names_addresses(deployment: Deployment) -> None:
    trail = deployment.ssh("sudo cat /var/log/mlflow/audit.jsonl")

    actions = {json.loads(line)["action"] for line in trail.splitlines()}
    assert {"create_multipart_upload_artifact", "get_presigned_download_url"} <= actions
    assert "X-Amz-Signature" not in trail


def test_off_passes_everything_through_the_host_again(
    deployment: Deployment, tmp_path: Path
) -> None:
    assert "presigned" in deployment.roles_policies()

    deployment.play("site.yml", "off")
    log = deployment.transfer(tmp_path / "transfers")

    assert "presigned" not in deployment.roles_policies()
    assert "REQUESTS_CA_BUNDLE" not in deployment.environment
    assert not any("/mpu/" in entry["request"]["uri"] for entry in log)
    assert artifact_bytes(log) > 2 * LARGE
    assert deployment.play("site.yml", "off")["changed"] == 0


def test_teardown_leaves_nothing(deployment: Deployment) -> None:
    arguments = ("-e", f"confirm={NAME}", "-e", "purge=true")
    deployment.play("playbooks/destroy.yml", "off", *arguments)

    assert deployment.aws.resources(NAME) == []
