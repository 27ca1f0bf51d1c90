"""Copies of recovery points survive the loss of the region, and locked ones the deployer's key.

The order of the tests matters: the first ones make the copies that the last ones restore and
delete.
"""

from __future__ import annotations

import gzip
import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local_aws import profile
from tests.conftest import ROOT, deploy_policy
from tests.copies.conftest import COPY, HERE, LOCK_DAYS, NAME, THERE, region_lost
from tests.policy_mutations import documented, mutate, rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import LocalAws, Play
    from tests.sites import Site

pytestmark = pytest.mark.slow
BUCKET = f"{NAME}-mlflow-copies-123456789012-{THERE}"
OWNER = f"{NAME}/copies/{HERE}"
POINT = re.compile(r"Copy of recovery point (\d{8}T\d{6}Z) in us-west-2")
NEW = re.compile(r"(\d+) of (\d+) artifacts were new")
FORMER = "20200101T000000Z"
BYPASS = "s3:BypassGovernanceRetention"
LOCKED = "Access Denied because object protected by object lock."


def said(play: Play) -> str:
    """Return what a play printed, in one line."""
    return " ".join(play.output.split())


def back_up(site: Site, *options: str) -> str:
    """Take a recovery point; return what the play printed."""
    play = site.aws.play("playbooks/backup.yml", *options)
    assert play.returncode == 0, play.output
    return said(play)


def read(there: LocalAws, key: str) -> bytes:
    """Return the first version of an object among the copies."""
    s3 = there.client("s3")
    versions = s3.list_object_versions(Bucket=BUCKET, Prefix=key)["Versions"]
    version = versions[-1]["VersionId"]
    body: bytes = s3.get_object(Bucket=BUCKET, Key=key, VersionId=version)["Body"].read()
    return body


def manifest(there: LocalAws, point: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(read(there, f"recovery/{point}/manifest.json"))
    return found


def lines(there: LocalAws, point: str) -> list[dict[str, Any]]:
    """Return what the list of a copy names."""
    content = gzip.decompress(read(there, f"recovery/{point}/objects.jsonl.gz"))
    return [json.loads(line) for line in content.splitlines()]


def snapshots(there: LocalAws) -> list[str]:
    """Return the points of which the other region has a snapshot."""
    found = there.client("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    tags = [{tag["Key"]: tag["Value"] for tag in one["TagList"]} for one in found]
    return sorted(one["Recovery"] for one in tags if one.get("Deployment") == OWNER)


def points(there: LocalAws) -> list[str]:
    """Return the points that the bucket of copies has, deleted or not."""
    page = there.client("s3").list_object_versions(Bucket=BUCKET, Prefix="recovery/")
    keys = {one["Key"] for one in page.get("Versions", []) if "manifest" in one["Key"]}
    return sorted(key.split("/")[1] for key in keys)


def unlock(there: LocalAws) -> None:
    """Shorten all locks so that they end in a second, which the administrator may do."""
    s3 = there.client("s3")
    until = datetime.now(UTC) + timedelta(seconds=2)
    for one in s3.list_object_versions(Bucket=BUCKET).get("Versions", []):
        s3.put_object_retention(
            Bucket=BUCKET,
            Key=one["Key"],
            VersionId=one["VersionId"],
            Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until},
            BypassGovernanceRetention=True,
        )
    time.sleep(3)


@pytest.fixture(scope="session")
def point(site: Site) -> str:
    """The first recovery point that was copied."""
    found = POINT.search(back_up(site))
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"region": "us-west-9"}, "us-west-9 is not a valid region for copies: this account"),
        ({"region": HERE}, f"{HERE} is not a valid region for copies: it is that of"),
        ({"lock_days": 31}, "31 is not a valid number of days: recovery points are removed after"),
        ({"lock_days": -1}, "-1 is not a valid number of days: it must be 0"),
        ({"region": ""}, "1 is not a valid number of days without copies"),
        ({"lock_mode": "none"}, "recovery_copy_lock_mode must be one of: governance, compliance"),
    ],
)
def test_setting_that_is_invalid_is_refused(
    site: Site, settings: dict[str, object], message: str
) -> None:
    options = [f"-erecovery_copy_{name}={value}" for name, value in settings.items()]
    play = site.aws.play("playbooks/backup.yml", *options)

    assert play.returncode != 0
    assert message in said(play)
    assert site.snapshots() == []


def test_bucket_without_lock_is_refused(site: Site, there: LocalAws) -> None:
    s3 = there.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": THERE})
    play = site.aws.play("playbooks/backup.yml")
    s3.delete_bucket(Bucket=BUCKET)

    assert play.returncode != 0
    assert f"bucket {BUCKET} exists without Object Lock" in said(play)
    assert site.snapshots() == []


def test_backup_in_check_mode_copies_nothing(site: Site, there: LocalAws) -> None:
    play = site.aws.play("playbooks/backup.yml", "--check")

    assert play.returncode == 0, play.output
    assert there.client("s3").list_buckets(Prefix=f"{NAME}-mlflow-copies")["Buckets"] == []
    assert snapshots(there) == []


def test_copy_has_snapshot_artifacts_manifest_and_secrets(
    site: Site, there: LocalAws, point: str
) -> None:
    found = manifest(there, point)
    secrets = there.client("secretsmanager")
    names = {one["Name"] for one in secrets.list_secrets()["SecretList"]}
    keys = {line["key"] for line in lines(there, point)}
    bucket = site.aws.client("s3").list_objects_v2(Bucket=site.bucket, Prefix="artifacts/")

    assert (points(there), snapshots(there)) == ([point], [point])
    assert found["artifacts"]["bucket"] == BUCKET
    assert found["copied"] == {"from": HERE, "region": THERE, "secrets": OWNER}
    assert keys == {one["Key"] for one in bucket["Contents"]}
    assert names > {f"{OWNER}/mlflow-admin", f"{OWNER}/mlflow-webhook-keys"}
    value = secrets.get_secret_value(SecretId=f"{OWNER}/mlflow-admin")["SecretString"]
    assert value == site.secret("mlflow-admin")


def test_bucket_of_copies_is_protected_as_the_bucket_of_artifacts_is(
    site: Site, there: LocalAws, point: str
) -> None:
    assert point
    s3 = there.client("s3")
    asked: list[Callable[..., Any]] = [
        s3.get_bucket_encryption,
        s3.get_bucket_versioning,
        s3.get_public_access_block,
        s3.get_bucket_ownership_controls,
    ]
    answers = [[ask(Bucket=name) for name in (BUCKET, site.bucket)] for ask in asked]
    for pair in answers:
        for answer in pair:
            answer.pop("ResponseMetadata")
    policy = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    lock = s3.get_object_lock_configuration(Bucket=BUCKET)["ObjectLockConfiguration"]
    rules = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]

    assert all(copies == artifacts for copies, artifacts in answers)
    assert "aws:SecureTransport" in policy
    assert lock["Rule"]["DefaultRetention"] == {"Mode": "GOVERNANCE", "Days": LOCK_DAYS}
    assert all("NoncurrentVersionExpiration" not in rule for rule in rules)


def test_second_copy_copies_what_is_new_and_locks_the_rest_for_longer(
    site: Site, there: LocalAws, point: str
) -> None:
    s3 = there.client("s3")
    line = lines(there, point)[0]
    version = {"Bucket": BUCKET, "Key": line["key"], "VersionId": line["version_id"]}
    before = s3.get_object_retention(**version)["Retention"]["RetainUntilDate"]
    league = site.get("experiments/get-by-name", experiment_name="league")["experiment"]
    run = site.post("runs/create", experiment_id=league["experiment_id"])["run"]["info"]
    site.artifact("PUT", run["artifact_uri"], "model.bin", data=b"new")
    found = back_up(site)
    new = NEW.search(found)
    second = POINT.search(found)

    assert new
    assert second
    assert new[1] == "1"
    assert int(new[2]) == len(lines(there, point)) + 1
    assert points(there) == snapshots(there) == [point, second[1]]
    assert line["version_id"] in {one["version_id"] for one in lines(there, second[1])}
    assert s3.get_object_retention(**version)["Retention"]["RetainUntilDate"] > before


def test_deployers_key_cannot_delete_or_unlock_a_copy(there: LocalAws, point: str) -> None:
    deployer = there.client("s3", profile.DEPLOYER)
    page = there.client("s3").list_object_versions(Bucket=BUCKET)
    versions = [
        {"Bucket": BUCKET, "Key": one["Key"], "VersionId": one["VersionId"]}
        for one in page["Versions"]
    ]
    soon = {"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(seconds=2)}

    def refused(call: Callable[..., Any], **arguments: Any) -> str:
        with pytest.raises(ClientError) as error:
            call(**arguments)
        assert error.value.response["Error"]["Code"] == "AccessDenied"
        return str(error.value.response["Error"]["Message"])

    assert len(versions) > len(lines(there, point))
    for version in versions:
        assert refused(deployer.delete_object, **version) == LOCKED
        assert refused(deployer.put_object_retention, **version, Retention=soon) == LOCKED
        bypass = {**version, "BypassGovernanceRetention": True}
        assert BYPASS in refused(deployer.delete_object, **bypass)
    # What the key can do hides a copy, and does not harm it.
    for version in versions:
        name = {"Bucket": BUCKET, "Key": version["Key"]}
        deployer.put_object(**name, Body=b"{}")
        deployer.delete_object(**name)


def test_restored_deployment_has_the_data_of_the_copy(
    site: Site, copy: Site, there: LocalAws
) -> None:
    expected = site.answers()
    last = points(there)[-1]
    with region_lost(site.aws):
        began = time.monotonic()
        play = copy.aws.play("playbooks/restore.yml", "-e", "recovery_point=latest")
        seconds = time.monotonic() - began
    assert play.returncode == 0, play.output
    found = copy.answers()

    assert found == expected
    assert f"{COPY} has the data of {NAME}" in said(play)
    print(f"restored {last} in {seconds:.0f} s")


def test_second_restore_changes_nothing(site: Site, copy: Site) -> None:
    run = copy.post("runs/create", experiment_id="1")["run"]["info"]["run_id"]
    with region_lost(site.aws):
        play = copy.aws.play("playbooks/restore.yml", "-e", "recovery_point=latest")

    assert play.returncode == 0, play.output
    assert copy.get("runs/get", run_id=run)["run"]["info"]["run_id"] == run


def test_prune_leaves_what_is_locked_and_removes_it_later(
    site: Site, there: LocalAws, point: str
) -> None:
    s3 = there.client("s3")
    # A point of long ago, whose lock has not ended, and a version that no point needs.
    old = s3.put_object(Bucket=BUCKET, Key="artifacts/old", Body=b"old")
    line = {"key": "artifacts/old", "version_id": old["VersionId"], "size": 3, "etag": "e"}
    list_of_old = gzip.compress(json.dumps(line).encode() + b"\n")
    s3.put_object(Bucket=BUCKET, Key=f"recovery/{FORMER}/objects.jsonl.gz", Body=list_of_old)
    s3.put_object(Bucket=BUCKET, Key=f"recovery/{FORMER}/manifest.json", Body=b"{}")
    s3.put_object(Bucket=BUCKET, Key="artifacts/orphan", Body=b"orphan")
    locked = back_up(site)
    kept = points(there)
    names = {one["Key"] for one in s3.list_object_versions(Bucket=BUCKET)["Versions"]}
    unlock(there)
    freed = back_up(site)
    left = {one["Key"] for one in s3.list_object_versions(Bucket=BUCKET)["Versions"]}

    assert re.search(r"\d+ versions in bucket \S+ are not needed any more, and Object Lock", locked)
    assert {FORMER, point} < set(kept)
    assert {"artifacts/old", "artifacts/orphan"} < names
    assert "Object Lock keeps them" not in freed
    assert FORMER not in points(there)
    assert {"artifacts/old", "artifacts/orphan"} & left == set()
    assert {line["key"] for line in lines(there, point)} < left
    assert snapshots(there) == points(there)


def test_lock_of_a_bucket_cannot_be_left_out(site: Site) -> None:
    play = site.aws.play("playbooks/backup.yml", "-e", "recovery_copy_lock_days=0")

    assert play.returncode != 0
    assert "has Object Lock, which cannot be switched off. Set it to 1" in said(play)


def test_restored_deployment_is_destroyed_alone(copy: Site, there: LocalAws, point: str) -> None:
    play = copy.aws.play("playbooks/destroy.yml", "-e", f"confirm={COPY}", "-e", "purge=true")

    assert play.returncode == 0, play.output
    assert there.resources(COPY, THERE) == []
    assert point in points(there)


def test_destroy_without_purge_keeps_the_copies(site: Site, there: LocalAws, point: str) -> None:
    play = site.aws.play("playbooks/destroy.yml", "-e", f"confirm={NAME}")

    assert play.returncode == 0, play.output
    assert f"Copies of recovery points in {THERE} are kept" in said(play)
    assert point in points(there)
    assert point in snapshots(there)


def test_destroy_with_purge_leaves_what_is_locked(site: Site, there: LocalAws) -> None:
    [*_, last] = points(there)
    play = site.aws.play("playbooks/destroy.yml", "-e", f"confirm={NAME}", "-e", "purge=true")

    assert play.returncode == 0, play.output
    assert f"Bucket {BUCKET} in {THERE} is kept, with" in said(play)
    assert "Object Lock lets nobody delete them before 20" in said(play)
    assert last in points(there)
    assert last in snapshots(there)


def test_destroy_with_purge_deletes_all_when_the_locks_have_ended(
    site: Site, there: LocalAws
) -> None:
    unlock(there)
    play = site.aws.play("playbooks/destroy.yml", "-e", f"confirm={NAME}", "-e", "purge=true")

    assert play.returncode == 0, play.output
    assert snapshots(there) == []
    assert there.client("s3").list_buckets()["Buckets"] == []
    assert there.client("secretsmanager").list_secrets()["SecretList"] == []


def test_recorded_calls_equal_the_actions_of_the_policy(site: Site) -> None:
    """The last, as all that is called by then counts."""
    files = ROOT / "docs/iam/actions"
    before, own = (
        {line for name in names for line in (files / name).read_text().split()}
        for names in (("life.txt", "newest_stack.txt", "recovery.txt"), ("copies.txt",))
    )
    # Only the test with the deployer's key asks for a bypass.
    beyond = [action for action in site.aws.actions if action not in {*before, BYPASS}]

    assert beyond == sorted(own), "\n".join(beyond)


def test_policy_without_one_action_of_copies_refuses_a_call(site: Site) -> None:
    needed = (ROOT / "docs/iam/actions/copies.txt").read_text().split()
    permissions = site.aws.permissions_of("user/deployer")
    # A restore needs the policies of both deployments, and each request concerns one of them.
    types: dict[tuple[str, str], set[str]] = {}
    for name in (NAME, COPY):
        for row, refused in mutate(json.loads(deploy_policy(name)), permissions).items():
            if row[1] in needed:
                types.setdefault(row, set()).update(filter(None, refused.split(", ")))
    found = rows({row: ", ".join(sorted(refused)) for row, refused in types.items()})

    assert all(types.values()), "\n".join(found)
    assert found == documented("Copies"), "\n".join(found)
