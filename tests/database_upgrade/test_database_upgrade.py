"""Every failure ends on the older PostgreSQL with its data; then the upgrade keeps all of it.

The order of the tests matters: the last of them leaves the newer version.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.database_upgrade.conftest import COPY, INSTANCE, MINOR, NAME, NEW, OLD, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Play

pytestmark = pytest.mark.slow
GROUP_17, GROUP_18 = f"{INSTANCE}-postgres17", f"{INSTANCE}-postgres18"


@contextlib.contextmanager
def unchanged(site: Site) -> Iterator[None]:
    """See that the same version serves every row and every artifact as before."""
    version, rows, artifacts, answers = site.version, site.rows(), site.artifacts(), site.answers()
    yield
    replaced_is_gone(site)
    assert site.version == version
    assert site.rows() == rows
    assert site.artifacts() == artifacts
    assert site.answers() == answers


def replaced_is_gone(site: Site) -> None:
    """Wait until what a restore has replaced is deleted."""
    deadline = time.monotonic() + 120
    while len(site.instances()) > 1:
        assert time.monotonic() < deadline, site.instances()
        time.sleep(0.5)


def said(play: Play) -> str:
    """What a play that fails has said."""
    assert play.returncode != 0, play.output
    return " ".join(play.output.split())


def started(site: Site) -> str:
    """Since when the server runs."""
    return site.ssh("systemctl show --property=ExecMainStartTimestamp mlflow")


@pytest.fixture(scope="session")
def point(site: Site) -> str:
    """A recovery point of the older version."""
    assert site.version == OLD
    play = site.play("backup", OLD)
    assert play.returncode == 0, play.output
    return site.snapshots()[0]["DBSnapshotIdentifier"]


def test_recovery_point_of_the_older_version_is_taken(point: str) -> None:
    assert point.startswith(f"{INSTANCE}-recovery-")


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("16", "region us-east-1 has no PostgreSQL 16"),
        ("17.2", "RDS does not go back"),
        ("18.9", "region us-east-1 has no PostgreSQL 18.9"),
        ("latest", "region us-east-1 has no PostgreSQL latest"),
    ],
)
def test_version_that_cannot_be_reached_is_refused(site: Site, version: str, reason: str) -> None:
    play = site.upgrade(version)
    assert reason in said(play)
    assert play.recap["changed"] == 0


def test_site_names_the_upgrade_of_another_major_version(site: Site) -> None:
    before = started(site)
    for playbook in ("preflight", "rds"):
        play = site.play(playbook, "18")
        assert "playbooks/upgrade_database.yml -e aws_rds_engine_version=18" in said(play)
        assert play.recap["changed"] == 0
    assert site.groups == [GROUP_17]
    assert started(site) == before


def test_upgrade_to_the_running_version_changes_nothing(site: Site) -> None:
    play = site.upgrade(OLD)
    assert play.returncode == 0, play.output
    assert "runs already" in play.output
    assert play.recap["changed"] == 0


def test_plan_changes_nothing(site: Site) -> None:
    before = started(site)
    with unchanged(site):
        play = site.upgrade("18", "--check")
    assert play.returncode == 0, play.output
    assert play.recap["changed"] == 0
    assert f"PostgreSQL {OLD} to {NEW}" in " ".join(play.output.split())
    assert started(site) == before


def test_stopped_database_is_refused(site: Site) -> None:
    rds = site.aws.client("rds")
    rds.stop_db_instance(DBInstanceIdentifier=INSTANCE)
    try:
        play = site.upgrade("18")
    finally:
        site.wait("stopped")
        rds.start_db_instance(DBInstanceIdentifier=INSTANCE)
        site.wait("available")
    assert "in which RDS does not upgrade it" in said(play)
    assert play.recap["changed"] == 0


def test_column_that_pg_upgrade_cannot_keep_is_named_before_anything_is_stopped(
    site: Site,
) -> None:
    with site.database() as cursor:
        cursor.execute("CREATE TABLE searches (language regconfig)")
    before = started(site)
    try:
        play = site.upgrade("18")
    finally:
        with site.database() as cursor:
            cursor.execute("DROP TABLE searches")
    assert "RDS cannot upgrade columns of type regconfig public.searches.language" in said(play)
    assert play.recap["changed"] == 0
    assert started(site) == before


def test_minor_upgrade_keeps_all_data(site: Site) -> None:
    rows, answers = site.rows(), site.answers()
    play = site.upgrade(MINOR)
    assert play.returncode == 0, play.output
    assert site.version == MINOR
    assert site.rows() == rows
    assert site.answers() == answers
    assert site.groups == [GROUP_17]
    again = site.play("rds", "17")
    assert again.returncode == 0, again.output
    assert again.recap["changed"] == 0, again.output


def test_upgrade_that_rds_refuses_starts_mlflow_again(site: Site) -> None:
    with site.database() as cursor:
        cursor.execute("CREATE TABLE parent (number int NOT NULL)")
        cursor.execute("CREATE TABLE child () INHERITS (parent)")
        cursor.execute("ALTER TABLE child ALTER number DROP NOT NULL")
    try:
        with unchanged(site):
            play = site.upgrade("18")
        (instance,) = site.instances()
    finally:
        with site.database() as cursor:
            cursor.execute("DROP TABLE child, parent")
    assert "RDS has not upgraded dbup-mlflow" in said(play)
    assert f"MLflow runs again with PostgreSQL {MINOR}. The database was not changed." in said(play)
    assert instance["DBParameterGroups"][0]["DBParameterGroupName"] == GROUP_17


def test_failure_after_the_upgrade_restores_the_snapshot(site: Site) -> None:
    with unchanged(site), site.aws.denied("rds:RebootDBInstance"):
        play = site.upgrade("18")
    text = said(play)
    snapshot = site.upgrades()[0]["DBSnapshotIdentifier"]
    assert f"The upgrade from PostgreSQL {MINOR} to {NEW} failed at 'Reboot database" in text
    assert f"The database was restored from snapshot {snapshot}." in text
    (instance,) = site.instances()
    assert instance["DBInstanceIdentifier"] == INSTANCE
    assert instance["DBParameterGroups"] == [
        {"DBParameterGroupName": GROUP_17, "ParameterApplyStatus": "in-sync"}
    ]
    again = site.play("rds", "17")
    assert again.returncode == 0, again.output
    assert again.recap["changed"] == 0, again.output


def test_interrupted_upgrade_is_finished_by_the_next_run(site: Site) -> None:
    rows, artifacts, answers = site.rows(), site.artifacts(), site.answers()
    run = site.begin("18")
    try:
        site.wait("upgrading")
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    taken = site.upgrades()[0]["DBSnapshotIdentifier"]
    play = site.upgrade("18")
    assert play.returncode == 0, play.output
    assert "which an earlier run has reached" in " ".join(play.output.split())
    assert site.version == NEW
    assert site.server.startswith("18.")
    assert site.rows() == rows
    assert site.artifacts() == artifacts
    assert site.answers() == answers
    assert [one["DBSnapshotIdentifier"] for one in site.upgrades()] == [taken]
    assert site.groups == [GROUP_18]


def test_upgrade_back_restores_the_former_version_by_its_snapshot(site: Site) -> None:
    rows, answers = site.rows(), site.answers()
    snapshot = site.upgrades()[0]["DBSnapshotIdentifier"]
    play = site.aws.play("playbooks/upgrade_back.yml", "-e", f"aws_rds_snapshot={snapshot}")
    assert play.returncode == 0, play.output
    replaced_is_gone(site)
    assert site.version == MINOR
    assert site.server.startswith("17.")
    assert site.rows() == rows
    assert site.answers() == answers


def test_upgrade_keeps_all_data(site: Site) -> None:
    rows, artifacts, answers = site.rows(), site.artifacts(), site.answers()
    play = site.upgrade("18")
    assert play.returncode == 0, play.output
    assert 'aws_rds_engine_version: "18"' in play.output.replace("\\", "")
    assert site.version == NEW
    assert site.server.startswith("18.")
    assert site.rows() == rows
    assert site.artifacts() == artifacts
    assert site.answers() == answers
    assert site.groups == [GROUP_18]
    (snapshot,) = site.upgrades()
    labels = {one["Key"]: one["Value"] for one in snapshot["TagList"]}
    assert (labels["Deployment"], labels["Purpose"]) == (NAME, "database-upgrade")
    assert (labels["From"], labels["To"]) == (MINOR, NEW)
    with site.database() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_user_tables WHERE relname = 'runs'"
            " AND last_analyze IS NOT NULL"
        )
        assert cursor.fetchone() == (1,)


def test_second_upgrade_changes_nothing(site: Site) -> None:
    play = site.upgrade("18")
    assert play.returncode == 0, play.output
    assert play.recap["changed"] == 0, play.output


@pytest.mark.parametrize(
    ("version", "wanted", "found"),
    [("18", "recovery_point=latest", "17"), ("17", "restore_to={now}", "18")],
)
def test_restore_of_another_major_version_is_refused_before_anything_is_created(
    site: Site, point: str, version: str, wanted: str, found: str
) -> None:
    """The recovery point is of before the upgrade, and the instance of after it."""
    copy = Site(replace(site.aws, variables={"deployment": COPY, "restore_source": NAME}), COPY)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    play = copy.play("restore", version, "-e", wanted.format(now=now))
    text = said(play)
    assert f"aws_rds_engine_version: {version} is not a valid version for this restore" in text
    assert f"-e aws_rds_engine_version={found}, and upgrade afterwards" in text
    assert site.aws.resources(COPY) == []
    assert point


def test_site_agrees_with_the_upgrade_and_does_not_go_back(site: Site) -> None:
    for playbook in ("preflight", "rds", "mlflow"):
        play = site.play(playbook, "18")
        assert play.returncode == 0, play.output
        assert play.recap["changed"] == 0, play.output
    back = site.play("rds", "17")
    assert "RDS does not go back to an older version" in said(back)
    assert 'write `aws_rds_engine_version: "18"` into the inventory' in said(back).replace("\\", "")
    assert back.recap["changed"] == 0
    down = site.upgrade("17")
    assert "RDS does not go back" in said(down)


def test_newer_version_has_recovery_points_too(site: Site) -> None:
    play = site.play("backup", "18")
    assert play.returncode == 0, play.output
    assert site.snapshots()[0]["EngineVersion"] == NEW


def test_destroy_deletes_the_snapshots_of_upgrades_and_the_rest_with_purge(site: Site) -> None:
    assert site.upgrades()
    play = site.play("destroy", "18", "-e", f"confirm={NAME}")
    assert play.returncode == 0, play.output
    assert site.upgrades() == []
    final = site.snapshots()[0]
    assert final["DBSnapshotIdentifier"].startswith(f"{INSTANCE}-final-")
    play = site.play("destroy", "18", "-e", f"confirm={NAME}", "-e", "purge=true")
    assert play.returncode == 0, play.output
    assert site.aws.resources(NAME) == []
