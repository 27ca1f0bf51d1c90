"""Modules s3_version_list_copy and s3_version_prune: a bucket with copies of several lists."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.object_locks import lock
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from .conftest import RunModule

LIST, COPY, PRUNE = "s3_version_list", "s3_version_list_copy", "s3_version_prune"
BUCKET, TARGET = "artifacts", "copies"
NOON = datetime(2126, 11, 29, 12, tzinfo=UTC)
VERSION = {"Bucket": TARGET, "Key": "p/a", "VersionId": "1"}


@pytest.fixture
def s3(aws: str) -> Any:
    """A client with two versioned buckets, one of which has objects."""
    assert aws
    client = boto3.client("s3")
    for bucket in (BUCKET, TARGET):
        client.create_bucket(Bucket=bucket)
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key in ("p/a", "p/b"):
        client.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    return client


def copy(run_module: RunModule, number: int, **options: Any) -> dict[str, Any]:
    """List the objects as they are now, and copy the list."""
    later = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    key = f"lists/{number}"
    made = run_module(LIST, bucket=BUCKET, prefix="p/", begin=later, key=key)
    wanted: dict[str, Any] = {"key": key, "sha256": made["sha256"], "prefix": "p/"}
    buckets = {"bucket": BUCKET, "bucket_region": "us-east-1", "target": TARGET}
    return run_module(COPY, **(buckets | wanted | options))


def versions(client: Any, prefix: str = "p/") -> list[str]:
    """Return the keys of all versions among the copies, and of the delete markers."""
    page = client.list_object_versions(Bucket=TARGET, Prefix=prefix)
    return sorted(one["Key"] for one in page.get("Versions", []) + page.get("DeleteMarkers", []))


def listed(client: Any, number: int) -> dict[str, bytes]:
    """Return the content of what a list among the copies names, by key."""
    body = client.get_object(Bucket=TARGET, Key=f"lists/{number}")["Body"].read()
    lines = [json.loads(line) for line in gzip.decompress(body).splitlines()]
    return {
        line["key"]: client.get_object(
            Bucket=TARGET, Key=line["key"], VersionId=line["version_id"]
        )["Body"].read()
        for line in lines
    }


def test_second_copy_copies_what_is_new(s3: Any, run_module: RunModule) -> None:
    first = copy(run_module, 1)
    s3.put_object(Bucket=BUCKET, Key="p/a", Body=b"newer")
    second = copy(run_module, 2, previous=[{"key": "lists/1"}])

    assert (first["copied"], second["copied"], second["objects"]) == (2, 1, 2)
    assert versions(s3) == ["p/a", "p/a", "p/b"]
    assert listed(s3, 1) == {"p/a": b"p/a", "p/b": b"p/b"}
    assert listed(s3, 2) == {"p/a": b"newer", "p/b": b"p/b"}


def test_interrupted_copy_continues(s3: Any, run_module: RunModule) -> None:
    # Copied by a run that was interrupted before it stored a list.
    s3.put_object(Bucket=TARGET, Key="p/a", Body=b"p/a")

    assert copy(run_module, 1)["copied"] == 1
    assert versions(s3) == ["p/a", "p/b"]


def test_copy_that_was_deleted_is_copied_again(s3: Any, run_module: RunModule) -> None:
    copy(run_module, 1)
    [version] = s3.list_object_versions(Bucket=TARGET, Prefix="p/b")["Versions"]
    s3.delete_object(Bucket=TARGET, Key="p/b", VersionId=version["VersionId"])

    assert copy(run_module, 2, previous=[{"key": "lists/1"}])["copied"] == 1
    assert listed(s3, 2) == {"p/a": b"p/a", "p/b": b"p/b"}


def test_large_object_is_copied_in_parts_once(
    s3: Any, run_module: RunModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ansible_collections.mlflow_ec2.aws.plugins.modules.s3_version_list_copy.ONE_CALL_BYTES", 4
    )
    content = bytes(9 << 20)
    s3.put_object(Bucket=BUCKET, Key="p/large", Body=content)

    assert copy(run_module, 1)["copied"] == 3
    assert "-" in s3.head_object(Bucket=TARGET, Key="p/large")["ETag"]
    assert listed(s3, 1)["p/large"] == content
    assert copy(run_module, 2, previous=[{"key": "lists/1"}])["copied"] == 0


def test_copy_of_another_list_is_refused(s3: Any, run_module: RunModule) -> None:
    s3.put_object(Bucket=BUCKET, Key="lists/1", Body=gzip.compress(b""))
    result = run_module(
        COPY,
        fails=True,
        bucket=BUCKET,
        bucket_region="us-east-1",
        target=TARGET,
        prefix="p/",
        key="lists/1",
        sha256="0" * 64,
    )

    assert "is not the expected digest" in result["msg"]
    assert versions(s3, "") == []


def test_check_mode_copies_nothing(s3: Any, run_module: RunModule) -> None:
    s3.put_object(Bucket=BUCKET, Key="p/c", Body=b"")
    later = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    made = run_module(LIST, bucket=BUCKET, prefix="p/", begin=later, key="lists/1")
    planned = run_module(
        COPY,
        check=True,
        bucket=BUCKET,
        bucket_region="us-east-1",
        target=TARGET,
        prefix="p/",
        key="lists/1",
        sha256=made["sha256"],
    )

    assert planned["copied"] == 3
    assert versions(s3, "") == []


def test_prune_leaves_what_lists_and_prefixes_name(s3: Any, run_module: RunModule) -> None:
    copy(run_module, 1)
    s3.put_object(Bucket=BUCKET, Key="p/a", Body=b"newer")
    s3.delete_object(Bucket=BUCKET, Key="p/b")
    copy(run_module, 2, previous=[{"key": "lists/1"}])
    # Markers hide what is needed.
    for key in ("p/a", "lists/2"):
        s3.delete_object(Bucket=TARGET, Key=key)
    [first, *_] = s3.list_object_versions(Bucket=TARGET, Prefix="lists/2")["Versions"]
    wanted: dict[str, Any] = {
        "bucket": TARGET,
        "lists": [{"key": "lists/2", "version_id": first["VersionId"]}],
        "keep": ["lists/2"],
    }
    planned = run_module(PRUNE, check=True, **wanted)
    pruned = run_module(PRUNE, **wanted)
    again = run_module(PRUNE, **wanted)

    # The former p/a, p/b, the first list and two markers.
    assert planned["deleted"] == pruned["deleted"] == 4
    assert (pruned["changed"], again["changed"], pruned["locked_until"]) == (True, False, "")
    assert versions(s3, "") == ["lists/2", "p/a", "p/b"]
    assert listed(s3, 2) == {"p/a": b"newer", "p/b": b"p/b"}


def test_prune_without_a_bucket_has_nothing_to_do(aws: str, run_module: RunModule) -> None:
    assert aws
    result = run_module(PRUNE, bucket="unknown")

    assert (result["changed"], result["deleted"]) == (False, 0)


class Locked:
    """A client of S3 with one version, which is locked."""

    def __init__(self, mode: str, until: datetime) -> None:
        self.mode, self.until = mode, until

    def get_object_retention(self, **_: Any) -> dict[str, Any]:
        return {"Retention": {"Mode": self.mode, "RetainUntilDate": self.until}}

    def put_object_retention(self, **given: Any) -> None:
        mode, until = given["Retention"]["Mode"], given["Retention"]["RetainUntilDate"]
        if until < self.until or (self.mode == "COMPLIANCE" and mode != self.mode):
            error = {"Code": "AccessDenied", "Message": "protected by object lock."}
            raise ClientError({"Error": error}, "PutObjectRetention")
        self.mode, self.until = mode, until


@pytest.mark.parametrize(
    ("present", "wanted", "expected"),
    [
        (("GOVERNANCE", 1), ("GOVERNANCE", 2), ("GOVERNANCE", 2)),
        (("GOVERNANCE", 2), ("GOVERNANCE", 1), ("GOVERNANCE", 2)),
        (("GOVERNANCE", 1), ("COMPLIANCE", 2), ("COMPLIANCE", 2)),
        (("GOVERNANCE", 2), ("COMPLIANCE", 1), ("COMPLIANCE", 2)),
        (("COMPLIANCE", 1), ("GOVERNANCE", 2), ("COMPLIANCE", 2)),
        (("COMPLIANCE", 2), ("GOVERNANCE", 1), ("COMPLIANCE", 2)),
    ],
)
def test_lock_is_never_weakened(
    present: tuple[str, int], wanted: tuple[str, int], expected: tuple[str, int]
) -> None:
    client = Locked(present[0], NOON + timedelta(days=present[1]))
    lock(client, VERSION, wanted[0], NOON + timedelta(days=wanted[1]))

    assert (client.mode, client.until) == (expected[0], NOON + timedelta(days=expected[1]))
