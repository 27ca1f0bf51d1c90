"""A recovery point has all that was committed, and a restore has all that is in it.

The order of the tests matters: the first ones write to the deployment that the last ones restore.
"""

from __future__ import annotations

import gzip
import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.conftest import ROOT
from tests.recovery.clients import writing
from tests.recovery.conftest import COPY, DRILL, NAME
from tests.recovery.points import point_of

if TYPE_CHECKING:
    from tests.sites import Site

pytestmark = pytest.mark.slow
SECONDS_SINCE_DRILL = 120


def manifest(site: Site, point: str) -> dict[str, Any]:
    """Return the manifest of a recovery point."""
    answer = site.aws.client("s3").get_object(
        Bucket=site.bucket, Key=f"recovery/{point}/manifest.json"
    )
    found: dict[str, Any] = json.loads(answer["Body"].read())
    return found


def listed_keys(site: Site, point: str) -> set[str]:
    """Return the artifacts of a recovery point."""
    answer = site.aws.client("s3").get_object(
        Bucket=site.bucket, Key=f"recovery/{point}/objects.jsonl.gz"
    )
    return {json.loads(line)["key"] for line in gzip.decompress(answer["Body"].read()).splitlines()}


@pytest.fixture(scope="session")
def point(site: Site) -> str:
    """A recovery point that was taken while a client was writing."""
    with writing(site) as acknowledged:
        before = list(acknowledged)
        found = point_of(site.aws.play("playbooks/backup.yml"))
    assert {run for run in before if not any(run in key for key in listed_keys(site, found))} == (
        set()
    )
    return found


def test_backup_in_check_mode_changes_nothing(site: Site) -> None:
    play = site.aws.play("playbooks/backup.yml", "--check")

    assert play.returncode == 0, play.output
    assert "Contents" not in site.aws.client("s3").list_objects_v2(
        Bucket=site.bucket, Prefix="recovery/"
    )
    assert site.snapshots() == []


def test_manifest_has_versions_counts_checksums_and_no_secret(site: Site, point: str) -> None:
    found = manifest(site, point)
    text = json.dumps(found)
    secrets = site.aws.client("secretsmanager")
    values = [
        secrets.get_secret_value(SecretId=one["Name"])["SecretString"]
        for one in secrets.list_secrets()["SecretList"]
    ]

    assert (found["id"], found["mlflow_version"]) == (point, "3.17.2")
    assert found["database"]["rows_before"]["runs"] >= 9
    assert found["database"]["rows_before"]["users"] == 2
    assert found["artifacts"]["objects"] == len(listed_keys(site, point))
    assert f"{NAME}/mlflow-webhook-keys" in text
    assert [value for value in values if value in text] == []
    [snapshot] = [
        one
        for one in site.snapshots()
        if one["DBSnapshotIdentifier"] == found["database"]["snapshot"]
    ]
    assert {"Key": "Purpose", "Value": "recovery"} in snapshot["TagList"]


def test_host_can_neither_read_nor_write_recovery_points(site: Site, point: str) -> None:
    role = f"{NAME}-mlflow-host-us-east-1"
    iam = site.aws.client("iam")
    [policy] = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        if name == "artifacts"
    ]

    assert point
    assert [one["Resource"] for one in policy["Statement"] if "s3:PutObject" in one["Action"]] == [
        f"arn:aws:s3:::{site.bucket}/artifacts/*"
    ]


def test_restore_of_an_unknown_point_is_refused_before_anything_is_created(
    copy: Site, point: str
) -> None:
    play = copy.aws.play("playbooks/restore.yml", "-e", "recovery_point=20200101T000000Z")
    said = " ".join(play.output.split())

    assert play.returncode != 0
    assert "20200101T000000Z is not a valid recovery point" in said
    assert point in said
    assert copy.instances() == []


def test_restored_deployment_has_the_data_of_the_point(site: Site, copy: Site, point: str) -> None:
    # What came after the point is not in it.
    later = site.post("experiments/create", name="later")["experiment_id"]
    began = time.monotonic()
    play = copy.aws.play(
        "playbooks/restore.yml",
        *("-e", f"recovery_point={point}", "-e", f"restore_bucket={site.bucket}"),
    )
    seconds = time.monotonic() - began
    assert play.returncode == 0, play.output
    expected, found = site.answers(), copy.answers()

    assert later in expected["experiments"]
    assert later not in found["experiments"]
    for kind in ("models", "versions", "user", "permissions", "login"):
        assert found[kind] == expected[kind]
    lost = expected["runs"].keys() - found["runs"].keys()
    assert found["runs"].keys() <= expected["runs"].keys()
    assert all(found["runs"][run]["artifacts"] for run in found["runs"] if is_tagged(found, run))
    same = {run for run in found["runs"] if found["runs"][run] == expected["runs"][run]}
    # The last run of the point might have been logged in part.
    assert len(found["runs"].keys() - same) <= 1
    assert f"{len(found['runs'])} runs" in play.output
    print(f"restored in {seconds:.0f} s; {len(lost)} runs came after the point")


def is_tagged(answers: dict[str, Any], run: str) -> bool:
    """Return whether a run says that its artifact was uploaded."""
    return "up" in answers["runs"][run]["tags"]


def test_endpoint_of_the_restored_deployment_has_its_runs(copy: Site) -> None:
    directory = ROOT / ".deploy" / COPY
    outputs = json.loads((directory / "outputs.json").read_text())
    token = (directory / "metrics_token").read_text().strip()
    answer = requests.get(
        f"{outputs['api_gateway_endpoint']}/metrics",
        headers={"Authorization": f"Bearer {token}"},
        verify=str(copy.aws.directory / "ca.pem"),
        timeout=60,
    )

    assert answer.status_code == 200
    assert "mlflow_loss{" in answer.text


def test_second_restore_changes_nothing_and_keeps_new_data(copy: Site, point: str) -> None:
    run = copy.post("runs/create", experiment_id="1")["run"]["info"]["run_id"]
    play = copy.aws.play("playbooks/restore.yml", "-e", f"recovery_point={point}")

    assert play.returncode == 0, play.output
    assert copy.get("runs/get", run_id=run)["run"]["info"]["run_id"] == run


def test_backup_removes_points_that_are_too_old(site: Site, point: str) -> None:
    with_rule = site.aws.play("playbooks/backup.yml", "-e", "recovery_keep_days=0")
    newest = point_of(with_rule)
    keys = site.aws.client("s3").list_objects_v2(Bucket=site.bucket, Prefix="recovery/")["Contents"]

    assert newest != point
    assert {key["Key"].split("/")[1] for key in keys} == {newest}
    assert [one["DBSnapshotIdentifier"] for one in site.snapshots()] == [
        manifest(site, newest)["database"]["snapshot"]
    ]


def test_backup_with_versions_that_expire_too_early_is_refused(site: Site) -> None:
    play = site.aws.play("playbooks/backup.yml", "-e", "aws_s3_noncurrent_days=20")

    assert play.returncode != 0
    assert "aws_s3_noncurrent_days: 20 is not a valid number" in " ".join(play.output.split())


def test_restored_deployment_is_destroyed_alone(site: Site, copy: Site) -> None:
    play = copy.aws.play("playbooks/destroy.yml", "-e", f"confirm={COPY}", "-e", "purge=true")

    assert play.returncode == 0, play.output
    assert copy.aws.resources(COPY) == []
    assert site.get("experiments/get-by-name", experiment_name="league")


def test_restore_to_a_time_has_what_was_logged_before_it(site: Site, copy: Site) -> None:
    league = site.get("experiments/get-by-name", experiment_name="league")["experiment"]
    first = site.post("runs/create", experiment_id=league["experiment_id"])["run"]["info"]
    site.artifact("PUT", first["artifact_uri"], "model.bin", data=b"first")
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    time.sleep(2)
    second = site.post("runs/create", experiment_id=league["experiment_id"])["run"]["info"]
    site.artifact("PUT", first["artifact_uri"], "model.bin", data=b"second")
    play = copy.aws.play("playbooks/restore.yml", "-e", f"restore_to={moment:%Y-%m-%dT%H:%M:%SZ}")
    assert play.returncode == 0, play.output
    runs = copy.answers()["runs"]

    assert first["run_id"] in runs
    assert second["run_id"] not in runs
    assert copy.artifact("GET", first["artifact_uri"], "model.bin") == b"first"


def test_drill_in_check_mode_changes_nothing(site: Site) -> None:
    before = site.snapshots()
    play = site.aws.play("playbooks/drill.yml", "-e", f"drill_deployment={DRILL}", "--check")

    assert play.returncode == 0, play.output
    assert site.snapshots() == before
    assert site.aws.resources(DRILL) == []


def test_drill_restores_compares_and_deletes(site: Site) -> None:
    play = site.aws.play("playbooks/drill.yml", "-e", f"drill_deployment={DRILL}")
    said = " ".join(play.output.split())

    assert play.returncode == 0, play.output
    assert re.search(r"Restored \d{8}T\d{6}Z in \d+ s. Every artifact is equal", said)
    assert "because clients changed them meanwhile: no table." in said
    assert "would lose what was logged in the last" in said
    assert site.aws.resources(DRILL) == []
    recorded = site.ssh("cat /var/lib/prometheus/node-exporter/monitoring_drill.prom")
    assert time.time() - float(recorded.split()[-1]) < SECONDS_SINCE_DRILL
    assert site.get("experiments/get-by-name", experiment_name="league")


def test_drill_whose_copy_exists_is_refused(site: Site) -> None:
    play = site.aws.play("playbooks/drill.yml", "-e", f"drill_deployment={COPY}")

    assert play.returncode != 0
    assert f"drill_deployment: {COPY} is not a valid name" in " ".join(play.output.split())
