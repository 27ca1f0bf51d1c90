"""Modules s3_version_list and s3_version_copy: the objects of a bucket as they were at a time."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.object_versions import (
    current_versions,
    parse_time,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import RunModule

LIST, COPY = "s3_version_list", "s3_version_copy"
BUCKET, TARGET = "artifacts", "others"
NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


class Listing:
    """A bucket's versions as S3 lists them: by key, the newest first, in pages."""

    def __init__(self, *entries: tuple[str, int, bool], page: int = 2) -> None:
        """Take key, seconds after noon and whether it is a version, in the order of the listing."""
        self.entries = entries
        self.page = page

    def get_paginator(self, operation: str) -> Listing:
        assert operation == "list_object_versions"
        return self

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        for start in range(0, len(self.entries), self.page):
            page: dict[str, Any] = {"Versions": [], "DeleteMarkers": []}
            for key, seconds, is_version in self.entries[start : start + self.page]:
                entry = {
                    "Key": key,
                    "VersionId": str(seconds),
                    "LastModified": NOON + timedelta(seconds=seconds),
                }
                if is_version:
                    page["Versions"].append(entry | {"Size": 1, "ETag": '"e"'})
                else:
                    page["DeleteMarkers"].append(entry)
            yield page


def current(listing: Listing, begin: int, end: int | None) -> dict[str, str]:
    """Return the versions of the seconds after noon, by key."""
    found = current_versions(
        listing,
        BUCKET,
        "",
        NOON + timedelta(seconds=begin),
        None if end is None else NOON + timedelta(seconds=end),
    )
    return {version.key: version.version_id for version in found}


@pytest.mark.parametrize("page", [1, 2, 3, 10])
@pytest.mark.parametrize(
    ("entries", "begin", "end", "expected"),
    [
        # Written before, overwritten after.
        ([("a", 9, True), ("a", 1, True)], 5, 5, {"a": "1"}),
        ([("a", 9, True), ("a", 5, True), ("a", 1, True)], 5, None, {"a": "5"}),
        # Deleted before, and not written again.
        ([("a", 3, False), ("a", 1, True)], 5, None, {}),
        # Deleted in the second of the beginning, or after it: it could be read then.
        ([("a", 5, False), ("a", 1, True)], 5, 5, {"a": "1"}),
        ([("a", 9, False), ("a", 1, True)], 5, 5, {"a": "1"}),
        # Written between begin and end: its first version.
        ([("a", 8, True), ("a", 7, True)], 5, 9, {"a": "7"}),
        ([("a", 8, True), ("a", 7, True)], 5, 6, {}),
        # Written and deleted between begin and end.
        ([("a", 8, False), ("a", 7, True)], 5, 9, {"a": "7"}),
        # Deleted before, written again after.
        ([("a", 8, True), ("a", 3, False), ("a", 1, True)], 5, None, {"a": "8"}),
        # Several keys, each over the end of a page.
        (
            [("a", 9, True), ("a", 1, True), ("b", 2, True), ("c", 3, False), ("c", 2, True)],
            5,
            None,
            {"a": "1", "b": "2"},
        ),
    ],
)
def test_versions_that_were_current_in_a_time(
    entries: list[tuple[str, int, bool]],
    begin: int,
    end: int | None,
    expected: dict[str, str],
    page: int,
) -> None:
    assert current(Listing(*entries, page=page), begin, end) == expected


def test_time_without_a_zone_is_in_utc() -> None:
    assert parse_time("2026-11-29T12:00:00") == NOON
    assert parse_time("2026-11-29T12:00:00Z") == NOON
    assert parse_time("2026-11-29T13:00:00+01:00") == NOON


@pytest.fixture
def s3(aws: str) -> Any:
    """A client with two buckets, one of which has versions of two keys."""
    assert aws
    client = boto3.client("s3")
    for bucket in (BUCKET, TARGET):
        client.create_bucket(Bucket=bucket)
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key, body in (("p/a", b"1"), ("p/a", b"2"), ("p/b", b"3"), ("q", b"4")):
        client.put_object(Bucket=BUCKET, Key=key, Body=body)
    return client


def later() -> str:
    return (datetime.now(UTC) + timedelta(seconds=2)).isoformat()


def test_list_is_stored_once(s3: Any, run_module: RunModule) -> None:
    wanted: dict[str, Any] = {"bucket": BUCKET, "prefix": "p/", "begin": later(), "key": "lists/1"}
    planned = run_module(LIST, check=True, **wanted)
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix="lists/")
    first = run_module(LIST, **wanted)
    second = run_module(LIST, **wanted)
    stored = gzip.decompress(s3.get_object(Bucket=BUCKET, Key="lists/1")["Body"].read())

    assert (planned["changed"], first["changed"], second["changed"]) == (True, True, False)
    assert (first["objects"], first["bytes"]) == (2, 2)
    assert planned["sha256"] == first["sha256"] == second["sha256"]
    assert [json.loads(line)["key"] for line in stored.splitlines()] == ["p/a", "p/b"]


def test_copy_of_a_list_has_the_listed_versions(s3: Any, run_module: RunModule) -> None:
    made = run_module(LIST, bucket=BUCKET, prefix="p/", begin=later(), key="lists/1")
    s3.put_object(Bucket=BUCKET, Key="p/a", Body=b"newer")
    s3.delete_object(Bucket=BUCKET, Key="p/b")
    wanted: dict[str, Any] = {
        "bucket": BUCKET,
        "target": TARGET,
        "prefix": "p/",
        "key": "lists/1",
        "sha256": made["sha256"],
    }
    planned = run_module(COPY, check=True, **wanted)
    assert "Contents" not in s3.list_objects_v2(Bucket=TARGET)
    first = run_module(COPY, **wanted)
    second = run_module(COPY, **wanted)
    copies = {
        one["Key"]: s3.get_object(Bucket=TARGET, Key=one["Key"])["Body"].read()
        for one in s3.list_objects_v2(Bucket=TARGET)["Contents"]
    }

    assert (planned["changed"], planned["copied"]) == (True, 2)
    assert (first["changed"], first["copied"], first["different"]) == (True, 2, [])
    assert (second["changed"], second["copied"], second["objects"]) == (False, 0, 2)
    assert copies == {"p/a": b"2", "p/b": b"3"}


def test_copy_without_a_list_has_the_versions_of_the_time(s3: Any, run_module: RunModule) -> None:
    assert s3
    result = run_module(COPY, bucket=BUCKET, target=TARGET, prefix="p/", begin=later())

    assert (result["objects"], result["bytes"], result["copied"]) == (2, 2, 2)


def test_copy_keeps_and_reports_other_content(s3: Any, run_module: RunModule) -> None:
    s3.put_object(Bucket=TARGET, Key="p/a", Body=b"x")
    result = run_module(COPY, bucket=BUCKET, target=TARGET, prefix="p/", begin=later())

    assert (result["copied"], result["different"]) == (1, ["p/a"])
    assert s3.get_object(Bucket=TARGET, Key="p/a")["Body"].read() == b"x"


@pytest.mark.parametrize("compare", [True, False])
def test_copy_in_parts_is_compared_by_its_bytes_on_request(
    s3: Any,
    run_module: RunModule,
    compare: bool,  # noqa: FBT001 - parametrised
) -> None:
    for bucket, content in ((BUCKET, b"a"), (TARGET, b"b")):
        upload = s3.create_multipart_upload(Bucket=bucket, Key="p/c")["UploadId"]
        part = {"Bucket": bucket, "Key": "p/c", "UploadId": upload}
        tag = s3.upload_part(PartNumber=1, Body=content, **part)["ETag"]
        parts = {"Parts": [{"ETag": tag, "PartNumber": 1}]}
        s3.complete_multipart_upload(MultipartUpload=parts, **part)
    result = run_module(
        COPY, bucket=BUCKET, target=TARGET, prefix="p/", begin=later(), compare_bytes=compare
    )

    assert result["different"] == (["p/c"] if compare else [])


def test_copy_of_another_list_is_refused(s3: Any, run_module: RunModule) -> None:
    run_module(LIST, bucket=BUCKET, begin=later(), key="lists/1")
    result = run_module(
        COPY, fails=True, bucket=BUCKET, target=TARGET, key="lists/1", sha256="0" * 64
    )

    assert "is not the expected digest" in result["msg"]
    assert "Contents" not in s3.list_objects_v2(Bucket=TARGET)


@pytest.mark.parametrize("module", [LIST, COPY])
def test_invalid_time_is_refused(s3: Any, run_module: RunModule, module: str) -> None:
    assert s3
    others: dict[str, Any] = {"key": "lists/1"} if module == LIST else {"target": TARGET}
    result = run_module(module, fails=True, bucket=BUCKET, begin="yesterday", **others)

    assert "yesterday" in result["msg"]
