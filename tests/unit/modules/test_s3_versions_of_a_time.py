"""Modules s3_version_list, s3_version_copy and s3_version_restore: a bucket as it was at a time."""

from __future__ import annotations

import gzip
import json
import time
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

LIST, COPY, RESTORE = "s3_version_list", "s3_version_copy", "s3_version_restore"
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


def contents(s3: Any) -> dict[str, bytes]:
    """Return what the objects of the first bucket have, beside lists."""
    listed = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {
        one["Key"]: s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read()
        for one in listed
        if not one["Key"].startswith("lists/")
    }


def change(s3: Any) -> dict[str, bytes]:
    """Overwrite, delete and add objects; return what there was before."""
    before = contents(s3)
    s3.put_object(Bucket=BUCKET, Key="p/a", Body=b"newer")
    s3.delete_object(Bucket=BUCKET, Key="p/b")
    s3.put_object(Bucket=BUCKET, Key="p/later", Body=b"5")
    return before


def test_restore_of_a_list_brings_back_its_objects_and_keeps_all_versions(
    s3: Any, run_module: RunModule
) -> None:
    then = run_module(LIST, bucket=BUCKET, prefix="p/", begin=later(), key="lists/1")
    before = change(s3)
    after = contents(s3)
    wanted = {"bucket": BUCKET, "prefix": "p/", "key": "lists/1", "sha256": then["sha256"]}
    now = run_module(LIST, bucket=BUCKET, prefix="p/", begin=later(), key="lists/2")
    planned = run_module(RESTORE, check=True, **wanted)
    assert contents(s3) == after
    first = run_module(RESTORE, **wanted)
    restored = contents(s3)
    second = run_module(RESTORE, **wanted)
    back = run_module(RESTORE, bucket=BUCKET, prefix="p/", key="lists/2", sha256=now["sha256"])

    assert restored == before
    assert (planned["changed"], planned["restored"], planned["deleted"]) == (True, 2, 1)
    assert (first["restored"], first["deleted"], first["objects"]) == (2, 1, 2)
    assert (first["different"], back["different"]) == ([], [])
    assert (second["changed"], second["restored"], second["deleted"]) == (False, 0, 0)
    # The list of `now` has p/b, which was deleted in its second.
    assert {**after, "p/b": b"3"} == contents(s3)


def test_restore_to_a_time_leaves_other_prefixes(s3: Any, run_module: RunModule) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=1)
    time.sleep(2)
    before = change(s3)
    s3.put_object(Bucket=BUCKET, Key="q", Body=b"newer")
    result = run_module(
        RESTORE, bucket=BUCKET, prefix="p/", begin=moment.isoformat(), end=moment.isoformat()
    )

    assert (result["restored"], result["deleted"], result["different"]) == (2, 1, [])
    assert contents(s3) == before | {"q": b"newer"}


def test_restore_of_what_was_uploaded_in_parts(s3: Any, run_module: RunModule) -> None:
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="p/c")["UploadId"]
    part = {"Bucket": BUCKET, "Key": "p/c", "UploadId": upload}
    tag = s3.upload_part(PartNumber=1, Body=b"parts", **part)["ETag"]
    parts = {"Parts": [{"ETag": tag, "PartNumber": 1}]}
    s3.complete_multipart_upload(MultipartUpload=parts, **part)
    then = run_module(LIST, bucket=BUCKET, prefix="p/", begin=later(), key="lists/1")
    s3.put_object(Bucket=BUCKET, Key="p/c", Body=b"PARTS")
    result = run_module(RESTORE, bucket=BUCKET, prefix="p/", key="lists/1", sha256=then["sha256"])

    assert (result["restored"], result["different"]) == (1, [])
    assert contents(s3)["p/c"] == b"parts"


def test_restore_of_a_version_that_expired_fails(s3: Any, run_module: RunModule) -> None:
    run_module(LIST, bucket=BUCKET, prefix="p/", begin=later(), key="lists/1")
    version = s3.head_object(Bucket=BUCKET, Key="p/a")["VersionId"]
    s3.delete_object(Bucket=BUCKET, Key="p/a", VersionId=version)
    result = run_module(RESTORE, fails=True, bucket=BUCKET, prefix="p/", key="lists/1")

    assert f"Failed to restore objects of bucket {BUCKET}" in result["msg"]


@pytest.mark.parametrize("module", [LIST, COPY, RESTORE])
def test_invalid_time_is_refused(s3: Any, run_module: RunModule, module: str) -> None:
    assert s3
    others: dict[str, Any] = {
        LIST: {"key": "lists/1"},
        COPY: {"target": TARGET},
        RESTORE: {"prefix": "p/"},
    }[module]
    result = run_module(module, fails=True, bucket=BUCKET, begin="yesterday", **others)

    assert "yesterday" in result["msg"]
