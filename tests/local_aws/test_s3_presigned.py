"""Presigned addresses of S3: one object, one method, one time."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local_aws import profile

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

    from tests.conftest import LocalAws

BUCKET = "addresses"


@pytest.fixture(scope="module")
def s3(aws: LocalAws) -> Iterator[Any]:
    client = aws.client("s3", signature_version="s3v4")
    client.create_bucket(Bucket=BUCKET)
    client.put_object(Bucket=BUCKET, Key="object", Body=b"content")
    yield client
    for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    for found in client.list_objects_v2(Bucket=BUCKET)["Contents"]:
        client.delete_object(Bucket=BUCKET, Key=found["Key"])
    client.delete_bucket(Bucket=BUCKET)


def signed(aws: LocalAws, expires: int | str, ago: float = 0) -> str:
    """Return an address that was signed some seconds ago."""
    user = profile.ADMINISTRATOR
    request = AWSRequest("GET", f"https://127.0.0.1:{aws.port}/{BUCKET}/object")
    moment = datetime.now(UTC) - timedelta(seconds=ago)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment.replace(tzinfo=None)):
        S3SigV4QueryAuth(
            Credentials(user.access_key, user.secret_key), "s3", "us-east-1", expires
        ).add_auth(request)
    url: str = request.url
    return url


def code(answer: requests.Response) -> tuple[int, str]:
    """Return status and code of an answer."""
    return answer.status_code, answer.text.partition("<Code>")[2].partition("</Code>")[0]


@pytest.mark.usefixtures("s3")
def test_address_is_valid_until_it_expires(aws: LocalAws, http: requests.Session) -> None:
    url = signed(aws, 2)

    assert http.get(url).content == b"content"
    time.sleep(3)
    answer = http.get(url)

    assert code(answer) == (403, "AccessDenied")
    assert "Request has expired" in answer.text


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(
    ("ago", "status", "text"),
    [(-600, 200, "content"), (-1000, 403, "Request is not yet valid"), (500, 403, "has expired")],
)
def test_address_of_other_time_is_refused(
    aws: LocalAws, http: requests.Session, ago: int, status: int, text: str
) -> None:
    answer = http.get(signed(aws, 300, ago))

    assert answer.status_code == status
    assert text in answer.text


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("expires", [604_801, "-1", "soon"])
def test_address_with_invalid_life_is_refused(
    aws: LocalAws, http: requests.Session, expires: int | str
) -> None:
    assert code(http.get(signed(aws, expires))) == (400, "AuthorizationQueryParametersError")


def test_address_for_upload_takes_the_signed_length_only(s3: Any, http: requests.Session) -> None:
    asked = {"Bucket": BUCKET, "Key": "five", "ContentLength": 5}
    url = s3.generate_presigned_url("put_object", asked)

    assert code(http.put(url, data=b"123456")) == (403, "SignatureDoesNotMatch")
    assert http.put(url, data=b"12345").status_code == 200


@pytest.mark.parametrize("change", ["object", "partNumber=1", "PUT"])
def test_address_for_part_allows_that_part_only(
    s3: Any, http: requests.Session, change: str
) -> None:
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
    where = {"Bucket": BUCKET, "Key": "parts", "UploadId": upload, "PartNumber": 1}
    url = s3.generate_presigned_url("upload_part", where)
    method = "GET" if change == "PUT" else "PUT"
    changed = url.replace("partNumber=1", "partNumber=2") if change == "partNumber=1" else url
    if change == "object":
        changed = url.replace("/parts?", "/object?")

    assert code(http.request(method, changed, data=b"x")) == (403, "SignatureDoesNotMatch")
    assert http.put(url, data=b"x").status_code == 200


@pytest.mark.parametrize("operation", ["upload_part", "list_parts", "abort", "complete"])
@pytest.mark.parametrize("case", ["of another object", "aborted"])
def test_upload_of_another_object_does_not_exist(s3: Any, operation: str, case: str) -> None:
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="own")["UploadId"]
    where = {"Bucket": BUCKET, "Key": "own", "UploadId": upload}
    part = s3.upload_part(**where, PartNumber=1, Body=b"x")["ETag"]
    if case == "aborted":
        s3.abort_multipart_upload(**where)
    else:
        where["Key"] = "object"
    calls = {
        "upload_part": lambda: s3.upload_part(**where, PartNumber=1, Body=b"x"),
        "list_parts": lambda: s3.list_parts(**where),
        "abort": lambda: s3.abort_multipart_upload(**where),
        "complete": lambda: s3.complete_multipart_upload(
            **where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]}
        ),
    }

    with pytest.raises(s3.exceptions.ClientError) as refused:
        calls[operation]()

    error = refused.value.response
    assert error["Error"]["Code"] == "NoSuchUpload"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert s3.get_object(Bucket=BUCKET, Key="object")["Body"].read() == b"content"
