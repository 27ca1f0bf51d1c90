"""Departure: of several conditional writes of one object at a time, one succeeds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalAws

BUCKET = "conditions"
AT_A_TIME = 8


@pytest.fixture(params=[False, True], ids=["plain", "versioned"])
def s3(aws: LocalAws, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A client, with an empty bucket."""
    client = aws.client("s3")
    client.create_bucket(Bucket=BUCKET)
    if request.param:
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    yield client
    for version in versions(client):
        client.delete_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])
    client.delete_bucket(Bucket=BUCKET)


def versions(client: Any) -> list[dict[str, Any]]:
    page = client.list_object_versions(Bucket=BUCKET)
    return list(page.get("Versions", []) + page.get("DeleteMarkers", []))


def create(client: Any, key: str, body: bytes) -> int:
    """Create an object that does not exist; return the HTTP status."""
    try:
        answer = client.put_object(Bucket=BUCKET, Key=key, Body=body, IfNoneMatch="*")
    except ClientError as error:
        answer = error.response
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])


def test_one_of_concurrent_creations_succeeds(s3: Any) -> None:
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        for number in range(20):
            statuses = list(
                threads.map(
                    lambda one, key=str(number): create(s3, key, f"{one}".encode()),
                    range(AT_A_TIME),
                )
            )
            assert statuses.count(200) == 1, statuses
            assert set(statuses) <= {200, 409, 412}
            body = s3.get_object(Bucket=BUCKET, Key=str(number))["Body"].read()
            assert body == str(statuses.index(200)).encode()
    assert len(versions(s3)) == 20


def test_object_whose_version_is_deleted_is_created_again(s3: Any) -> None:
    first = s3.put_object(Bucket=BUCKET, Key="lock", Body=b"1", IfNoneMatch="*")
    version = first.get("VersionId", "null")
    assert create(s3, "lock", b"2") == 412

    s3.delete_object(Bucket=BUCKET, Key="lock", VersionId=version)
    assert versions(s3) == []
    assert create(s3, "lock", b"3") == 200

    # A version that is gone is deleted without an error, and no other with it.
    if version != "null":
        s3.delete_object(Bucket=BUCKET, Key="lock", VersionId=version)
        assert s3.get_object(Bucket=BUCKET, Key="lock")["Body"].read() == b"3"
