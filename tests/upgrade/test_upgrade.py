"""Every failure ends on the older release with its data; then the upgrade keeps all of it.

The order of the tests matters: the last of them leaves the newer release.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT, deploy_policy
from tests.policy_mutations import documented, mutate, rows
from tests.upgrade.conftest import NAME, NEW, OLD, Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Play

pytestmark = pytest.mark.slow
DROP_IN = "/etc/systemd/system/mlflow.service.d/guard.conf"


@pytest.fixture(scope="session")
def before(site: Site) -> dict[str, Any]:
    """The older release's answers about its data."""
    return site.answers()


@contextlib.contextmanager
def unchanged(site: Site) -> Iterator[None]:
    """See that the older release serves every row and every artifact as before."""
    rows, artifacts, answers = site.rows(), site.artifacts(), site.answers()
    yield
    gone(site)
    assert site.running == OLD
    assert site.rows() == rows
    assert site.artifacts() == artifacts
    assert site.answers() == answers
    (instance,) = site.instances()
    assert instance["DBInstanceIdentifier"] == "upgrade-mlflow"


def reason(play: Play) -> str:
    """What the play said of its failure."""
    assert play.returncode != 0, play.output
    said = " ".join(play.output.split())
    found = re.findall(rf"The upgrade from MLflow {OLD} to {NEW} failed at '.*?PLAY RECAP", said)
    assert found, play.output
    return str(found[-1])


def logged(site: Site) -> list[dict[str, Any]]:
    """Return the log of upgrades in the host's journal."""
    text = site.ssh("sudo journalctl --identifier=mlflow-upgrade --output=cat --no-pager")
    return [json.loads(line) for line in text.splitlines()]


def test_data_of_the_older_release_are_complete(before: dict[str, Any]) -> None:
    assert len(before["runs"]) == 9
    assert all(run["artifacts"] and run["params"] for run in before["runs"].values())
    assert {run["stage"] for run in before["runs"].values()} == {"active", "deleted"}
    assert len(before["versions"]) == 2
    assert before["login"] == 200


def test_site_changes_neither_version_nor_schema(site: Site) -> None:
    with unchanged(site):
        play = site.run_mlflow(NEW)
    assert play.returncode != 0
    assert f"playbooks/upgrade.yml -e mlflow_version={NEW}" in " ".join(play.output.split())


@pytest.mark.parametrize(
    ("version", "cure"),
    [("3.13.0", "make lock MLFLOW=3.13.0"), ("9.9.9", "make lock MLFLOW=9.9.9")],
)
def test_version_without_a_lock_is_refused(site: Site, version: str, cure: str) -> None:
    play = site.upgrade(version)
    assert play.returncode != 0
    assert cure in " ".join(play.output.split())
    assert play.recap["changed"] == 0


def test_upgrade_to_the_same_version_changes_nothing(site: Site) -> None:
    play = site.upgrade(OLD)
    assert play.returncode == 0, play.output
    assert "runs already" in play.output
    assert play.recap["changed"] == 0


def test_stopped_database_is_refused(site: Site) -> None:
    name = "upgrade-mlflow"
    rds = site.aws.client("rds")
    rds.stop_db_instance(DBInstanceIdentifier=name)
    try:
        play = site.upgrade()
    finally:
        wait(site, "stopped")
        rds.start_db_instance(DBInstanceIdentifier=name)
        wait(site, "available")
    assert play.returncode != 0
    assert "in which no snapshot can be taken" in " ".join(play.output.split())
    assert play.recap["changed"] == 0


def wait(site: Site, status: str) -> None:
    while site.instances()[0]["DBInstanceStatus"] != status:
        time.sleep(0.5)


def test_plan_changes_nothing(site: Site) -> None:
    with unchanged(site):
        play = site.upgrade(NEW, "--check")
    assert play.returncode == 0, play.output
    assert play.recap["changed"] == 0
    assert f"MLflow {OLD} to {NEW}" in play.output


def test_failing_installation_leaves_the_older_release_serving(site: Site, tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    good = (ROOT / f"requirements/server/{NEW}.txt").read_text()
    lock.write_text(re.sub(r"(?m)(^uvloop==\S+(?: \\\n    --hash=sha256:\w+)+)", foreign, good))
    started = site.ssh("systemctl show --property=ExecMainStartTimestamp mlflow")
    with unchanged(site):
        play = site.upgrade(NEW, "-e", f"mlflow_lock_file={lock}")
    said = reason(play)
    assert f"Install MLflow {NEW}" in said
    assert "was not changed" in said
    assert site.ssh("systemctl show --property=ExecMainStartTimestamp mlflow") == started
    assert site.ssh("ls /opt/mlflow").split() == sorted(["bootstrap", "cache", "current", OLD])
    assert site.snapshots() == []


def foreign(found: re.Match[str]) -> str:
    """Give a package checksums that nothing has."""
    return re.sub(r"sha256:\w+", "sha256:" + 64 * "0", found[0])


def test_refused_snapshot_leaves_the_older_release_serving(site: Site) -> None:
    rds = site.aws.client("rds")
    names: list[str] = []
    try:
        for number in itertools.count():
            try:
                name = f"other-{number}"
                rds.create_db_snapshot(
                    DBInstanceIdentifier="upgrade-mlflow", DBSnapshotIdentifier=name
                )
            except rds.exceptions.SnapshotQuotaExceededFault:
                break
            names.append(name)
            wait(site, "available")
        with unchanged(site):
            play = site.upgrade()
    finally:
        for name in names:
            rds.delete_db_snapshot(DBSnapshotIdentifier=name)
    said = reason(play)
    assert "Take snapshot" in said
    assert "SnapshotQuotaExceeded" in said
    assert "The database was not touched" in said


def test_failing_migration_is_rolled_back(site: Site) -> None:
    with site.database() as cursor:
        cursor.execute("CREATE TABLE mcp_servers (in_the_way int)")
    try:
        with unchanged(site):
            play = site.upgrade()
    finally:
        with site.database() as cursor:
            cursor.execute("DROP TABLE mcp_servers")
    said = reason(play)
    assert 'relation "mcp_servers" already exists' in said
    assert site.snapshots()[0]["DBSnapshotIdentifier"] in said


def test_interrupted_rollback_is_finished(site: Site) -> None:
    rds, snapshot = site.aws.client("rds"), site.snapshots()[0]["DBSnapshotIdentifier"]
    mark = hashlib.sha256(snapshot.encode()).hexdigest()[:8]
    with unchanged(site):
        rds.modify_db_instance(
            DBInstanceIdentifier="upgrade-mlflow",
            NewDBInstanceIdentifier=f"upgrade-mlflow-replaced-{mark}",
            ApplyImmediately=True,
        )
        wait(site, "available")
        new = site.aws.play("playbooks/rds.yml")
        back = site.aws.play("playbooks/upgrade_back.yml", "-e", f"aws_rds_snapshot={snapshot}")
        assert back.returncode == 0, back.output
        # It was in the way of the migration before which the snapshot was taken.
        with site.database() as cursor:
            cursor.execute("DROP TABLE mcp_servers")
    assert new.returncode != 0
    assert "a restore was interrupted" in " ".join(new.output.split())


def gone(site: Site) -> None:
    """Wait until what was replaced is deleted."""
    deadline = time.monotonic() + 120
    while len(found := site.instances()) > 1:
        states = {one["DBInstanceIdentifier"]: one["DBInstanceStatus"] for one in found}
        assert time.monotonic() < deadline, states
        time.sleep(0.5)


def test_failing_start_is_rolled_back(site: Site) -> None:
    guard = f"/usr/bin/grep -q ^mlflow=={OLD} /opt/mlflow/current/requirements.txt"
    site.ssh(
        f"sudo mkdir -p $(dirname {DROP_IN})"
        f" && printf '[Service]\\nExecStartPre={guard}\\n' | sudo tee {DROP_IN}"
        " && sudo systemctl daemon-reload"
    )
    try:
        with unchanged(site):
            play = site.upgrade()
    finally:
        site.ssh(f"sudo rm {DROP_IN}; sudo systemctl daemon-reload")
    said = reason(play)
    assert "Restart mlflow" in said or "Start mlflow.service" in said
    *steps, last = logged(site)
    assert [line["step"] for line in steps[-3:]] == ["install", "snapshot", "migrate"]
    assert (last["step"], last["failed"]) == ("rolled_back", "migrate")
    assert "mlflow.service" in last["reason"] or "Restart mlflow" in last["reason"]
    assert f"MLflow {OLD} runs again, on the database as it was before" in said


def test_failing_check_is_rolled_back(site: Site) -> None:
    s3 = site.aws.client("s3")
    policy = s3.get_bucket_policy(Bucket=site.bucket)["Policy"]
    denying = json.loads(policy)
    denying["Statement"].append(
        {
            "Sid": "NoMoreArtifacts",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{site.bucket}/artifacts/*",
        }
    )
    s3.put_bucket_policy(Bucket=site.bucket, Policy=json.dumps(denying))
    try:
        with unchanged(site):
            play = site.upgrade()
    finally:
        s3.put_bucket_policy(Bucket=site.bucket, Policy=policy)
    said = reason(play)
    assert "Log a run and read it back" in said
    # The older release cannot write artifacts either, and the play says so.
    assert "The rollback failed as well" in said


def test_upgrade_keeps_all_data(site: Site, before: dict[str, Any]) -> None:
    artifacts = site.artifacts()
    play = site.upgrade()

    assert play.returncode == 0, play.output
    assert site.running == NEW
    assert site.answers() == before
    assert site.artifacts() == artifacts
    (snapshot,) = site.snapshots()
    labels = {one["Key"]: one["Value"] for one in snapshot["TagList"]}
    assert (labels["Deployment"], labels["From"], labels["To"]) == ("upgrade", OLD, NEW)
    lines = logged(site)[-4:]
    assert [line["step"] for line in lines] == ["install", "snapshot", "migrate", "done"]
    assert {(line["from"], line["to"]) for line in lines} == {(OLD, NEW)}
    assert lines[-1]["snapshot"] == snapshot["DBSnapshotIdentifier"]


def test_site_agrees_with_the_upgrade_and_does_not_go_back(site: Site) -> None:
    again = site.run_mlflow(NEW)
    assert again.returncode == 0, again.output
    assert again.recap["changed"] == 0, again.output
    back = site.run_mlflow(OLD)
    assert back.returncode != 0
    assert f"mlflow_version: {NEW}" in " ".join(back.output.split())
    down = site.upgrade(OLD)
    assert "cannot be upgraded to" in " ".join(down.output.split())
    assert site.running == NEW


def test_destroy_deletes_the_snapshots_of_upgrades(site: Site) -> None:
    play = site.aws.play("playbooks/destroy.yml", "-e", "confirm=upgrade", "-e", "purge=true")
    assert play.returncode == 0, play.output
    assert site.aws.resources("upgrade") == []


def test_recorded_calls_of_upgrades_equal_the_actions_of_the_policy(
    site: Site, project: Path
) -> None:
    """The last, as all that is called by then counts."""
    files = project / "docs/iam/actions"
    life, upgrade = ((files / name).read_text().split() for name in ("life.txt", "upgrade.txt"))
    beyond = [action for action in site.aws.actions if action not in life]

    assert beyond == upgrade, "\n".join(beyond)


def test_policy_without_one_action_of_upgrades_refuses_a_call(site: Site) -> None:
    needed = (ROOT / "docs/iam/actions/upgrade.txt").read_text().split()
    table = mutate(json.loads(deploy_policy(NAME)), site.aws.permissions_of("user/deployer"))
    found = rows({row: types for row, types in table.items() if row[1] in needed})

    assert found == documented("Upgrade"), "\n".join(found)
