"""Departure: versions of objects are listed from a position, 1,000 at most."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalAws

BUCKET = "versions"


@pytest.fixture
def s3(aws: LocalAws) -> Iterator[Any]:
    """A client, with an empty versioned bucket."""
    client = aws.client("s3")
    client.create_bucket(Bucket=BUCKET)
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    yield client
    while found := listed(client.list_object_versions(Bucket=BUCKET)):
        delete(client, found)
    client.delete_bucket(Bucket=BUCKET)


def listed(page: dict[str, Any]) -> list[dict[str, str]]:
    """Return key and version of all that is on a page."""
    return [
        {"Key": one["Key"], "VersionId": one["VersionId"]}
        for one in page.get("Versions", []) + page.get("DeleteMarkers", [])
    ]


def delete(client: Any, objects: list[dict[str, str]]) -> None:
    client.delete_objects(Bucket=BUCKET, Delete={"Objects": objects, "Quiet": True})


def put(client: Any, keys: list[str]) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: client.put_object(Bucket=BUCKET, Key=key, Body=b""), keys))


@pytest.mark.slow
def test_page_holds_1000_versions_however_many_are_asked_for(s3: Any) -> None:
    put(s3, [f"{number:04}" for number in range(1005)])

    assert len(s3.list_object_versions(Bucket=BUCKET, MaxKeys=2000)["Versions"]) == 1000


@pytest.mark.parametrize("versions_per_key", [1, 7])
def test_versions_that_are_deleted_while_listed_are_all_seen(
    s3: Any, versions_per_key: int
) -> None:
    for _ in range(versions_per_key):
        put(s3, [f"key-{number}" for number in range(10)])
    s3.delete_object(Bucket=BUCKET, Key="key-4")
    seen = []
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket=BUCKET, PaginationConfig={"PageSize": 3}
    )
    for page in pages:
        seen += listed(page)
        delete(s3, listed(page))

    assert len(seen) == 10 * versions_per_key + 1
    assert not listed(s3.list_object_versions(Bucket=BUCKET))


def test_versions_are_listed_in_order_and_one_is_the_latest(s3: Any) -> None:
    ids = [s3.put_object(Bucket=BUCKET, Key="a", Body=b"")["VersionId"] for _ in range(5)]
    put(s3, ["b"])
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket=BUCKET, PaginationConfig={"PageSize": 2}
    )
    versions = [version for page in pages for version in page["Versions"]]

    assert [v["VersionId"] for v in versions if v["Key"] == "a"] == ids[::-1]
    assert [v["Key"] for v in versions if v["IsLatest"]] == ["a", "b"]


def test_etag_of_an_object_that_is_listed_while_it_is_put_is_that_of_all_its_bytes(s3: Any) -> None:
    # Large enough to be listed while its answer is made, and not in parts.
    body = bytes(range(256)) * (32 << 12)
    with ThreadPoolExecutor(1) as thread:
        for number in range(3):
            answered = thread.submit(s3.put_object, Bucket=BUCKET, Key=f"{number}", Body=body)
            while not answered.done():
                s3.list_object_versions(Bucket=BUCKET)
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    versions = s3.list_object_versions(Bucket=BUCKET)["Versions"]
    assert [one["ETag"].strip('"') for one in versions] == [md5] * 3


def test_marker_of_a_key_alone_begins_behind_the_key(s3: Any) -> None:
    put(s3, ["a", "a", "b", "c"])
    page = s3.list_object_versions(Bucket=BUCKET, KeyMarker="a")

    assert [version["Key"] for version in page["Versions"]] == ["b", "c"]


def test_common_prefixes_are_paged(s3: Any) -> None:
    put(s3, ["a/1", "a/2", "b", "c/1", "d/1"])
    pages = list(
        s3.get_paginator("list_object_versions").paginate(
            Bucket=BUCKET, Delimiter="/", PaginationConfig={"PageSize": 1}
        )
    )

    assert [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])] == [
        "a/",
        "c/",
        "d/",
    ]
    assert [v["Key"] for page in pages for v in page.get("Versions", [])] == ["b"]


def test_more_than_1000_objects_are_not_deleted_at_once(s3: Any) -> None:
    with pytest.raises(ClientError) as refused:
        delete(s3, [{"Key": str(number)} for number in range(1001)])

    assert refused.value.response["Error"]["Code"] == "MalformedXML"
