"""A restore in place brings back what was, loses nothing that is, and survives an interruption.

The order of the tests matters: each one leaves the deployment as the next one restores it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.recovery.conftest import NAME
from tests.recovery.points import point_of
from tests.sites import READER
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import Play
    from tests.sites import Site

pytestmark = pytest.mark.slow
PLAYBOOK = "playbooks/restore_in_place.yml"
INSTANCE = f"{NAME}-mlflow"


def restore(site: Site, *arguments: str) -> Play:
    return site.aws.play(PLAYBOOK, "-e", f"confirm={NAME}", *arguments)


def only_instance(site: Site) -> bool:
    """Return whether the deployment has one database instance, under its name."""
    found = site.aws.client("rds").describe_db_instances()["DBInstances"]
    names = [one["DBInstanceIdentifier"] for one in found]
    return [name for name in names if name.startswith(INSTANCE)] == [INSTANCE]


def league(site: Site) -> str:
    found = site.get("experiments/get-by-name", experiment_name="league")["experiment"]
    return str(found["experiment_id"])


def damage(site: Site) -> None:
    """Delete, change and add what a mistaken user does, in database and bucket."""
    runs = site.post("runs/search", experiment_ids=[league(site)])["runs"]
    first, second = (run["info"] for run in runs[:2])
    site.post("runs/delete", run_id=first["run_id"])
    site.artifact("PUT", second["artifact_uri"], "model.bin", data=b"overwritten")
    site.artifact("PUT", second["artifact_uri"], "added.bin", data=b"added")
    folder = first["artifact_uri"].removeprefix("mlflow-artifacts:/")
    site.aws.client("s3").delete_object(
        Bucket=site.bucket, Key=f"artifacts/{folder}/model.bin".replace("//", "/")
    )
    site.post("runs/set-tag", run_id=second["run_id"], key="number", value="another")
    site.call(
        "DELETE",
        "2.0/mlflow/registered-models/alias",
        json={"name": "winner", "alias": "champion"},
    )
    new = site.post("runs/create", experiment_id=league(site))["run"]["info"]
    site.artifact("PUT", new["artifact_uri"], "model.bin", data=b"new")


@pytest.fixture(scope="module")
def whole(site: Site) -> Site:
    """The deployment with its function and its endpoint, which a restore verifies."""
    for name in ("lambda", "api_gateway"):
        play = site.aws.play(f"playbooks/{name}.yml")
        assert play.returncode == 0, play.output
    return site


@pytest.fixture(scope="module")
def before(whole: Site) -> dict[str, Any]:
    """All data at the recovery point."""
    return whole.answers() | {"objects": objects(whole)}


@pytest.fixture(scope="module")
def point(whole: Site, before: dict[str, Any]) -> str:
    """A recovery point of these data."""
    assert before["runs"]
    return point_of(whole.aws.play("playbooks/backup.yml"))


@pytest.fixture(scope="module")
def damaged(whole: Site, point: str) -> dict[str, Any]:
    """All data after the damage."""
    assert point
    damage(whole)
    return whole.answers() | {"objects": objects(whole)}


def objects(site: Site) -> dict[str, str]:
    """Return the checksum of each artifact."""
    return {key: tag for key, tag in site.artifacts().items() if key.startswith("artifacts/")}


def seen(site: Site) -> dict[str, Any]:
    return site.answers() | {"objects": objects(site)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recovery_point=latest"], "latest is not a valid recovery point for a restore in place"),
        (["recovery_point=none"], "none is not a valid recovery point of recov"),
        (["recovery_point="], "exactly one of them must be set"),
        (["restore_to=2026-11-29"], "2026-11-29 is not a valid time"),
        (["recovery_point={point}", "mlflow_version=3.16.1"], "3.16.1 is not a valid version"),
        (["recovery_point={point}", "confirm=other"], "Nothing was restored in region us-east-1"),
    ],
)
def test_bad_input_is_refused_before_anything_is_changed(
    whole: Site, point: str, damaged: dict[str, Any], arguments: list[str], message: str
) -> None:
    given = [word for one in arguments for word in ("-e", one.format(point=point))]
    play = restore(whole, *given)

    assert play.returncode != 0
    assert message in " ".join(play.output.split())
    assert only_instance(whole)
    assert seen(whole) == damaged


def test_check_mode_changes_nothing(whole: Site, point: str, damaged: dict[str, Any]) -> None:
    play = restore(whole, "-e", f"recovery_point={point}", "--check")

    assert play.returncode == 0, play.output
    assert only_instance(whole)
    assert seen(whole) == damaged


def test_without_a_safety_point_nothing_is_replaced(
    whole: Site, point: str, damaged: dict[str, Any]
) -> None:
    with whole.aws.denied("rds:CreateDBSnapshot"):
        play = restore(whole, "-e", f"recovery_point={point}")

    assert play.returncode != 0
    said = " ".join(play.output.split())
    assert "There is no recovery point of the present data, so nothing was restored" in said
    assert seen(whole) == damaged


def test_interrupted_restore_is_finished(
    whole: Site, point: str, before: dict[str, Any], damaged: dict[str, Any]
) -> None:
    """Between the renaming of the two instances, where no instance has the name."""
    assert damaged
    rds = whole.aws.client("rds")
    [beside] = [
        one["DBInstanceIdentifier"]
        for one in rds.describe_db_instances()["DBInstances"]
        if one["DBInstanceIdentifier"].startswith(f"{INSTANCE}-restored-")
    ]
    safety = point_of(whole.aws.play("playbooks/backup.yml"))
    whole.ssh("sudo systemctl stop mlflow")
    rds.modify_db_instance(
        DBInstanceIdentifier=INSTANCE,
        NewDBInstanceIdentifier=beside.replace("restored", "replaced"),
        ApplyImmediately=True,
    )
    rds.get_waiter("db_instance_available").wait(
        DBInstanceIdentifier=beside.replace("restored", "replaced"), WaiterConfig={"Delay": 1}
    )
    new = whole.aws.play("playbooks/rds.yml")
    play = restore(whole, "-e", f"recovery_point={point}")

    assert new.returncode != 0
    assert "playbooks/restore_in_place.yml" in " ".join(new.output.split())
    assert play.returncode == 0, play.output
    assert "No recovery point was taken in this run" in " ".join(play.output.split())
    assert seen(whole) == before
    assert eventually(lambda: only_instance(whole), 120)

    # What the interrupted restore had saved.
    back = restore(whole, "-e", f"recovery_point={safety}")
    assert back.returncode == 0, back.output
    assert seen(whole) == damaged


def test_restored_data_are_those_of_the_point_and_can_be_undone(
    whole: Site, point: str, before: dict[str, Any], damaged: dict[str, Any]
) -> None:
    began = time.monotonic()
    play = restore(whole, "-e", f"recovery_point={point}")
    seconds = time.monotonic() - began
    safety = point_of(play)

    assert f"is recovery point {safety}" in " ".join(play.output.split())
    assert seen(whole) == before
    assert eventually(lambda: only_instance(whole), 120)
    back = restore(whole, "-e", f"recovery_point={safety}")
    assert back.returncode == 0, back.output
    assert seen(whole) == damaged
    print(f"restored in place in {seconds:.0f} s")


def test_stopped_database_is_replaced(whole: Site, point: str, before: dict[str, Any]) -> None:
    rds = whole.aws.client("rds")
    rds.stop_db_instance(DBInstanceIdentifier=INSTANCE)
    refused = restore(whole, "-e", f"recovery_point={point}")
    play = restore(whole, "-e", f"recovery_point={point}", "-e", "restore_safety_point=false")

    assert refused.returncode != 0
    assert "its database is in state stop" in " ".join(refused.output.split())
    assert "No recovery point was taken in this run" in " ".join(play.output.split())
    assert seen(whole) == before


def test_restored_password_is_the_present_one(whole: Site) -> None:
    point = point_of(whole.aws.play("playbooks/backup.yml"))
    secrets = whole.aws.client("secretsmanager")
    secrets.put_secret_value(
        SecretId=f"{NAME}/mlflow-admin", SecretString="another-password-of-24-letters"
    )
    changed = whole.aws.play("playbooks/mlflow.yml")
    assert changed.returncode == 0, changed.output
    play = restore(whole, "-e", f"recovery_point={point}")
    assert play.returncode == 0, play.output

    whole.session.auth = ("admin", whole.secret("mlflow-admin"))
    assert league(whole)
    assert whole.get("users/get", username=READER[0])


def test_restore_to_a_time_has_what_was_logged_before_it(whole: Site) -> None:
    first = whole.post("runs/create", experiment_id=league(whole))["run"]["info"]
    whole.artifact("PUT", first["artifact_uri"], "model.bin", data=b"first")
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    # S3 has times of whole seconds, and a version counts for a minute around the time.
    time.sleep(2)
    second = whole.post("runs/create", experiment_id=league(whole))["run"]["info"]
    play = restore(whole, "-e", f"restore_to={moment:%Y-%m-%dT%H:%M:%SZ}")
    assert play.returncode == 0, play.output
    runs = whole.answers()["runs"]

    assert first["run_id"] in runs
    assert second["run_id"] not in runs
    assert whole.artifact("GET", first["artifact_uri"], "model.bin") == b"first"
    assert eventually(lambda: only_instance(whole), 120)


def test_deployment_serves_and_site_agrees(whole: Site) -> None:
    run = whole.post("runs/create", experiment_id=league(whole))["run"]["info"]
    whole.artifact("PUT", run["artifact_uri"], "model.bin", data=b"later")
    play = whole.aws.play("playbooks/rds.yml")

    assert play.returncode == 0, play.output
    assert play.recap["changed"] == 0, play.output
    assert whole.artifact("GET", run["artifact_uri"], "model.bin") == b"later"
