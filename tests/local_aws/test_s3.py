from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

    from tests.conftest import LocalAws

MIB = 1 << 20


@pytest.fixture
def bucket(aws: LocalAws) -> Iterator[str]:
    client = aws.client("s3")
    client.create_bucket(Bucket="artifacts")
    yield "artifacts"
    client.delete_bucket_policy(Bucket="artifacts")
    for version in client.list_object_versions(Bucket="artifacts").get("Versions", []):
        client.delete_object(Bucket="artifacts", Key=version["Key"], VersionId=version["VersionId"])
    client.delete_bucket(Bucket="artifacts")


def tls_policy(bucket: str, value: str) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
                    "Condition": {"Bool": {"aws:SecureTransport": value}},
                }
            ],
        }
    )


@pytest.mark.parametrize("key", ["plain", "with space/ü%2F+.txt", "a//b"])
def test_object_with_any_key_comes_back_unchanged(aws: LocalAws, bucket: str, key: str) -> None:
    client = aws.client("s3")
    client.put_object(Bucket=bucket, Key=key, Body=b"content", Metadata={"my_key": "a", "k": "b"})
    found = client.get_object(Bucket=bucket, Key=key)
    assert found["Body"].read() == b"content"
    assert found["Metadata"] == {"my_key": "a", "k": "b"}
    assert [item["Key"] for item in client.list_objects_v2(Bucket=bucket)["Contents"]] == [key]


def test_large_object_goes_up_in_parts_and_comes_back(aws: LocalAws, bucket: str) -> None:
    client = aws.client("s3")
    content = os.urandom(20 * MIB)
    client.upload_fileobj(io.BytesIO(content), bucket, "large")
    assert client.head_object(Bucket=bucket, Key="large")["ETag"].endswith('-3"')
    back = io.BytesIO()
    client.download_fileobj(bucket, "large", back)
    assert back.getvalue() == content
    part = client.get_object(Bucket=bucket, Key="large", Range="bytes=100-199")["Body"].read()
    assert part == content[100:200]


def test_parts_are_joined_without_holding_them_in_memory(aws: LocalAws, bucket: str) -> None:
    client = aws.client("s3")
    pid = int((aws.directory / "pid").read_text().split()[0])
    name = {"Bucket": bucket, "Key": "large"}
    upload = name | {"UploadId": client.create_multipart_upload(**name)["UploadId"]}

    def peak() -> int:
        """Return the most memory that the server has had, in bytes."""
        status = Path(f"/proc/{pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024

    numbers = range(1, 13)
    sent = [client.upload_part(**upload, PartNumber=n, Body=bytes(16 * MIB)) for n in numbers]
    parts = [{"PartNumber": n, "ETag": part["ETag"]} for n, part in zip(numbers, sent, strict=True)]
    before = peak()
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})

    assert peak() - before < 64 * MIB
    assert client.head_object(**name)["ContentLength"] == 12 * 16 * MIB


def test_range_of_a_large_object_reads_no_more_than_the_range(aws: LocalAws, bucket: str) -> None:
    client = aws.client("s3")
    client.put_object(Bucket=bucket, Key="sparse", Body=b"x")
    (file,) = (aws.directory / "s3").iterdir()
    # Too large to be read as a whole in the time of the test.
    os.truncate(file, 64 << 30)
    found = client.get_object(Bucket=bucket, Key="sparse", Range="bytes=34359738368-34359738371")
    assert found["ContentRange"] == f"bytes 34359738368-34359738371/{64 << 30}"
    assert found["Body"].read() == bytes(4)


def test_object_bytes_are_on_disk_until_it_is_deleted(aws: LocalAws, bucket: str) -> None:
    client = aws.client("s3")
    folder = aws.directory / "s3"
    client.put_object(Bucket=bucket, Key="a", Body=b"small content")
    client.list_object_versions(Bucket=bucket)
    assert [path.read_bytes() for path in folder.iterdir()] == [b"small content"]
    client.delete_object(Bucket=bucket, Key="a")
    assert list(folder.iterdir()) == []


def test_listing_versions_of_a_bucket_leaves_its_bytes_alone(aws: LocalAws, bucket: str) -> None:
    client = aws.client("s3")
    client.upload_fileobj(io.BytesIO(bytes(10 * MIB)), bucket, "large")
    before = list((aws.directory / "s3").iterdir())
    for _ in range(2):
        versions = client.list_object_versions(Bucket=bucket)["Versions"]
        assert [version["Size"] for version in versions] == [10 * MIB]
    assert list((aws.directory / "s3").iterdir()) == before
    assert len(client.get_object(Bucket=bucket, Key="large")["Body"].read()) == 10 * MIB


def test_older_version_is_kept(aws: LocalAws, bucket: str) -> None:
    client = aws.client("s3")
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = client.put_object(Bucket=bucket, Key="a", Body=b"1")["VersionId"]
    client.put_object(Bucket=bucket, Key="a", Body=b"2")
    assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == b"2"
    assert client.get_object(Bucket=bucket, Key="a", VersionId=first)["Body"].read() == b"1"


@pytest.mark.parametrize("chunked", [True, False])
def test_presigned_url_uploads_and_downloads(
    aws: LocalAws,
    bucket: str,
    http: requests.Session,
    chunked: bool,  # noqa: FBT001 - parametrized
) -> None:
    client = aws.client("s3", signature_version="s3v4")
    where: dict[str, Any] = {"Params": {"Bucket": bucket, "Key": "signed"}}
    body: Any = iter([b"a" * 3000, b"b" * 3000]) if chunked else b"a" * 3000 + b"b" * 3000
    put = http.put(client.generate_presigned_url("put_object", **where), data=body)
    assert put.status_code == 200
    got = http.get(client.generate_presigned_url("get_object", **where))
    assert got.content == b"a" * 3000 + b"b" * 3000


def test_policy_against_plain_http_is_harmless_over_tls(aws: LocalAws, bucket: str) -> None:
    client = aws.client("s3")
    client.put_bucket_policy(Bucket=bucket, Policy=tls_policy(bucket, "false"))
    client.put_object(Bucket=bucket, Key="a", Body=b"a")
    assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == b"a"


def test_policy_against_tls_is_in_force(aws: LocalAws, bucket: str) -> None:
    client = aws.client("s3")
    client.put_object(Bucket=bucket, Key="a", Body=b"a")
    # Nobody would be left who may delete the bucket.
    policy = tls_policy(bucket, "true").replace('"s3:*"', '"s3:GetObject"')
    client.put_bucket_policy(Bucket=bucket, Policy=policy)
    with pytest.raises(ClientError, match="AccessDenied"):
        client.get_object(Bucket=bucket, Key="a")
