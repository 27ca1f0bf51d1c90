"""The artifacts' bucket: its lifecycle, and what its deletion takes along and keeps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalAws

DELETE = "tests/provisioning/delete_bucket.yml"
BUCKET = "prov-mlflow-123456789012-us-east-1"


@pytest.fixture
def bucket(aws: LocalAws) -> Iterator[str]:
    """The bucket that the playbook makes; it is gone at the end."""
    made = aws.play("playbooks/s3.yml")
    assert made.returncode == 0, made.output
    yield BUCKET
    end = aws.play(DELETE, "-e", "purge=true")
    assert end.returncode == 0, end.output
    assert aws.resources("prov") == []


def rules(s3: Any, bucket: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    return found


def put(s3: Any, bucket: str, keys: list[str]) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b""), keys))


@pytest.mark.slow
def test_bucket_expires_deleted_versions_and_unfinished_uploads(aws: LocalAws, bucket: str) -> None:
    s3 = aws.client("s3")
    [rule] = rules(s3, bucket)

    assert rule["Status"] == "Enabled"
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert rule["Expiration"] == {"ExpiredObjectDeleteMarker": True}

    again = aws.play("playbooks/s3.yml")
    assert again.recap["changed"] == 0, again.output
    plan = aws.play("playbooks/s3.yml", "--check")
    assert plan.recap["changed"] == 0, plan.output

    # Another number of days is planned and made.
    days = ("-e", "aws_s3_noncurrent_days=3")
    assert aws.play("playbooks/s3.yml", "--check", *days).recap["changed"] == 1
    assert aws.play("playbooks/s3.yml", *days).recap["changed"] == 1
    assert rules(s3, bucket)[0]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 3}

    # A rule that was removed by hand is planned, and made again.
    s3.delete_bucket_lifecycle(Bucket=bucket)
    assert aws.play("playbooks/s3.yml", "--check").recap["changed"] == 1
    assert aws.play("playbooks/s3.yml").recap["changed"] == 1
    assert rules(s3, bucket) == [rule]


@pytest.mark.slow
def test_bucket_that_holds_only_old_versions_is_deleted(aws: LocalAws, bucket: str) -> None:
    s3 = aws.client("s3")
    for key in ("a", "a", "b"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"old")
    for key in ("a", "b"):
        s3.delete_object(Bucket=bucket, Key=key)
    end = aws.play(DELETE)

    assert end.returncode == 0, end.output
    assert aws.resources("prov") == []


def test_bucket_that_holds_an_artifact_keeps_it_with_its_versions(
    aws: LocalAws, bucket: str
) -> None:
    s3 = aws.client("s3")
    for key in ("a", "a", "b"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"kept")
    s3.delete_object(Bucket=bucket, Key="b")
    end = aws.play(DELETE)
    page = s3.list_object_versions(Bucket=bucket)

    assert end.returncode == 0, end.output
    assert [len(page["Versions"]), len(page["DeleteMarkers"])] == [3, 1]


@pytest.mark.slow
def test_bucket_of_more_versions_than_a_page_is_purged_at_once(aws: LocalAws, bucket: str) -> None:
    s3 = aws.client("s3")
    put(s3, bucket, [f"{number % 700}" for number in range(2100)])
    end = aws.play(DELETE, "-e", "purge=true")

    assert end.returncode == 0, end.output
    assert f"{bucket}: 2,100 versions deleted so far" in end.output
    assert aws.resources("prov") == []
