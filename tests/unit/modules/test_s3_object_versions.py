from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from ansible_collections.mlflow_ec2.aws.plugins.modules import s3_object_versions
from ansible_collections.mlflow_ec2.aws.plugins.modules.s3_object_versions import (
    DeletionError,
    delete_versions,
)

if TYPE_CHECKING:
    from .conftest import RunModule, RunTasks

MODULE = "s3_object_versions"
BUCKET = "artifacts"


@pytest.fixture
def s3(aws: str) -> Any:
    """A client, with a versioned bucket that holds three versions of two keys and a marker."""
    assert aws
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for key in ("a", "b", "a"):
        client.put_object(Bucket=BUCKET, Key=key, Body=b"")
    client.delete_object(Bucket=BUCKET, Key="b")
    return client


def count(client: Any) -> int:
    page = client.list_object_versions(Bucket=BUCKET)
    return len(page.get("Versions", []) + page.get("DeleteMarkers", []))


class BusyClient:
    """Answers a few times that S3 is too busy for one of the objects, or with another error."""

    def __init__(self, times: int, code: str = "SlowDown") -> None:
        self.times = times
        self.code = code
        self.asked: list[list[str]] = []

    def delete_objects(self, **request: Any) -> dict[str, Any]:
        objects = request["Delete"]["Objects"]
        self.asked.append([one["VersionId"] for one in objects])
        if len(self.asked) > self.times:
            return {}
        return {"Errors": [{**objects[-1], "Code": self.code, "Message": "why"}]}


def test_module_deletes_versions_and_markers(s3: Any, run_module: RunModule) -> None:
    first = run_module(MODULE, bucket=BUCKET)
    second = run_module(MODULE, bucket=BUCKET)

    assert (first["changed"], first["deleted"], first["finished"]) == (True, 4, False)
    assert (second["changed"], second["deleted"], second["finished"]) == (False, 0, True)
    s3.delete_bucket(Bucket=BUCKET)


def test_module_in_check_mode_deletes_nothing(s3: Any, run_module: RunModule) -> None:
    result = run_module(MODULE, bucket=BUCKET, check=True)

    assert (result["changed"], result["deleted"]) == (True, 4)
    assert count(s3) == 4


def test_module_stops_at_its_limit(
    s3: Any, run_module: RunModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_object_versions, "PAGE", 1)
    result = run_module(MODULE, bucket=BUCKET, limit=3)

    assert (result["deleted"], result["finished"]) == (3, False)
    assert count(s3) == 1


def test_module_keeps_the_keys_it_is_told_to(s3: Any, run_module: RunModule) -> None:
    first = run_module(MODULE, bucket=BUCKET, keep=["b"])
    second = run_module(MODULE, bucket=BUCKET, keep=["b"])

    assert (first["deleted"], second["deleted"], second["finished"]) == (2, 0, True)
    assert count(s3) == 2


def test_module_on_missing_bucket_finds_it_empty(run_module: RunModule) -> None:
    result = run_module(MODULE, bucket="missing")

    assert (result["changed"], result["finished"]) == (False, True)


def test_deletion_while_busy_repeats_only_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    client = BusyClient(2)
    versions = [{"Key": "a", "VersionId": "1"}, {"Key": "a", "VersionId": "2"}]

    assert delete_versions(client, BUCKET, versions) == 2
    assert client.asked == [["1", "2"], ["2"], ["2"]]


@pytest.mark.parametrize(
    ("times", "code", "calls"), [(1, "AccessDenied", 1), (99, "InternalError", 6)]
)
def test_deletion_that_is_refused_or_never_possible_fails(
    times: int, code: str, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    client = BusyClient(times, code)
    with pytest.raises(DeletionError, match=BUCKET):
        delete_versions(client, BUCKET, [{"Key": "a", "VersionId": "1"}])

    assert len(client.asked) == calls


def test_action_repeats_until_empty_and_prints_progress(s3: Any, run_tasks: RunTasks) -> None:
    [result], printed = run_tasks({f"mlflow_ec2.aws.{MODULE}": {"bucket": BUCKET, "limit": 1}})

    assert result["deleted"] == 4
    assert result["finished"]
    assert f"{BUCKET}: 4 versions deleted so far" in printed
    s3.delete_bucket(Bucket=BUCKET)
