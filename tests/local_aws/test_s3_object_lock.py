"""Departure: Object Lock keeps versions of objects until their time, as S3 does."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local_aws import profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import LocalAws

BUCKET, PLAIN = "locked", "unlocked"
LOCKED = "Access Denied because object protected by object lock."
MIB = 1 << 20
FORBIDDEN = 403


def in_days(days: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)


def refusal(call: Callable[..., Any], **arguments: Any) -> tuple[str, str]:
    """Return code and message of a refused call."""
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def empty(client: Any, bucket: str) -> None:
    """Delete a bucket whose versions are not locked in compliance mode."""
    page = client.list_object_versions(Bucket=bucket)
    for one in page.get("Versions", []) + page.get("DeleteMarkers", []):
        name = {"Bucket": bucket, "Key": one["Key"], "VersionId": one["VersionId"]}
        client.delete_object(**name, BypassGovernanceRetention=True)
    client.delete_bucket(Bucket=bucket)


@pytest.fixture
def s3(aws: LocalAws) -> Iterator[Any]:
    """A client, with a bucket whose versions are locked for a day in governance mode."""
    client = aws.client("s3")
    client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
    set_default(client, Mode="GOVERNANCE", Days=1)
    client.create_bucket(Bucket=PLAIN)
    yield client
    empty(client, BUCKET)
    empty(client, PLAIN)


def set_default(client: Any, **retention: Any) -> None:
    client.put_object_lock_configuration(
        Bucket=BUCKET,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            **({"Rule": {"DefaultRetention": retention}} if retention else {}),
        },
    )


def put(client: Any, key: str = "a") -> dict[str, str]:
    """Upload an object; return what names its version."""
    answer = client.put_object(Bucket=BUCKET, Key=key, Body=b"content")
    return {"Bucket": BUCKET, "Key": key, "VersionId": answer["VersionId"]}


def retention(client: Any, version: dict[str, str]) -> tuple[str, float]:
    """Return mode and days of a version's retention."""
    found = client.get_object_retention(**version)["Retention"]
    left = found["RetainUntilDate"] - datetime.now(UTC)
    return found["Mode"], round(left.total_seconds() / 86400, 1)


def test_locked_version_is_not_deleted_and_a_marker_hides_it(s3: Any) -> None:
    version = put(s3)

    assert refusal(s3.delete_object, **version) == ("AccessDenied", LOCKED)
    s3.delete_object(Bucket=BUCKET, Key="a")
    assert refusal(s3.get_object, Bucket=BUCKET, Key="a")[0] == "NoSuchKey"
    assert s3.get_object(**version)["Body"].read() == b"content"


def test_refusal_has_the_status_of_one(s3: Any) -> None:
    version = put(s3)
    with pytest.raises(ClientError) as error:
        s3.delete_object(**version)

    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == FORBIDDEN


def test_new_version_of_a_locked_object_leaves_the_old_one(s3: Any) -> None:
    version = put(s3)
    s3.put_object(Bucket=BUCKET, Key="a", Body=b"other")

    assert s3.get_object(**version)["Body"].read() == b"content"


def test_deletion_of_several_names_the_locked_versions(s3: Any) -> None:
    version = put(s3)
    del version["Bucket"]
    marker = {"Key": "a", "VersionId": s3.delete_object(Bucket=BUCKET, Key="a")["VersionId"]}
    answer = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [version, marker]})

    assert answer["Errors"] == [{**version, "Code": "AccessDenied", "Message": LOCKED}]
    assert [one["VersionId"] for one in answer["Deleted"]] == [marker["VersionId"]]


def test_copies_and_uploads_in_parts_are_locked(s3: Any) -> None:
    s3.put_object(Bucket=PLAIN, Key="source", Body=b"content")
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": PLAIN, "Key": "source"})
    s3.upload_fileobj(io.BytesIO(bytes(10 * MIB)), BUCKET, "parts")
    versions = s3.list_object_versions(Bucket=BUCKET)["Versions"]

    assert [
        retention(s3, {"Bucket": BUCKET, "Key": one["Key"], "VersionId": one["VersionId"]})
        for one in versions
    ] == [("GOVERNANCE", 1.0)] * 2


def test_retention_is_lengthened_and_not_shortened(s3: Any) -> None:
    version = put(s3)

    def keep(days: float, mode: str = "GOVERNANCE", **how: Any) -> None:
        wanted = {"Mode": mode, "RetainUntilDate": in_days(days)}
        s3.put_object_retention(**version, Retention=wanted, **how)

    keep(3)
    assert retention(s3, version) == ("GOVERNANCE", 3.0)
    assert refusal(keep, days=2) == ("AccessDenied", LOCKED)
    keep(2, BypassGovernanceRetention=True)
    assert retention(s3, version) == ("GOVERNANCE", 2.0)
    assert refusal(keep, days=-1)[0] == "InvalidArgument"


def test_compliance_mode_is_bypassed_by_nobody(s3: Any) -> None:
    version = put(s3)
    until = datetime.now(UTC) + timedelta(seconds=3)
    locked = {"Mode": "COMPLIANCE", "RetainUntilDate": until}
    s3.put_object_retention(**version, Retention=locked, BypassGovernanceRetention=True)

    how = {**version, "BypassGovernanceRetention": True}
    assert refusal(s3.delete_object, **how) == ("AccessDenied", LOCKED)
    weaker = {"Mode": "GOVERNANCE", "RetainUntilDate": in_days(1)}
    assert refusal(s3.put_object_retention, **how, Retention=weaker) == ("AccessDenied", LOCKED)
    while datetime.now(UTC) <= until:
        pass
    s3.delete_object(**version)


def test_bypass_requires_its_permission(aws: LocalAws, s3: Any) -> None:
    version = put(s3)
    deployer = aws.client("s3", profile.DEPLOYER)
    how = {**version, "BypassGovernanceRetention": True}
    weaker = {"Mode": "GOVERNANCE", "RetainUntilDate": in_days(0.5)}
    with aws.denied("s3:BypassGovernanceRetention"):
        for call, more in (
            (deployer.delete_object, {}),
            (deployer.put_object_retention, {"Retention": weaker}),
        ):
            code, message = refusal(call, **how, **more)
            assert (code, "s3:BypassGovernanceRetention" in message) == ("AccessDenied", True)
        objects = [{"Key": version["Key"], "VersionId": version["VersionId"]}]
        answer = deployer.delete_objects(
            Bucket=BUCKET, Delete={"Objects": objects}, BypassGovernanceRetention=True
        )
        assert [one["Code"] for one in answer["Errors"]] == ["AccessDenied"]
        assert refusal(deployer.delete_object, **version) == ("AccessDenied", LOCKED)
    deployer.delete_object(**how)


def test_bucket_with_lock_requires_the_permission_to_configure_it(aws: LocalAws) -> None:
    deployer = aws.client("s3", profile.DEPLOYER)
    with aws.denied("s3:PutBucketObjectLockConfiguration"):
        code, message = refusal(
            deployer.create_bucket, Bucket="refused", ObjectLockEnabledForBucket=True
        )

    assert (code, "s3:PutBucketObjectLockConfiguration" in message) == ("AccessDenied", True)


def test_default_retention_of_a_bucket_with_objects_is_changed(s3: Any) -> None:
    put(s3)
    set_default(s3, Mode="GOVERNANCE", Days=2)
    answer = s3.get_object_lock_configuration(Bucket=BUCKET)["ObjectLockConfiguration"]

    assert answer["Rule"] == {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 2}}
    assert retention(s3, put(s3, "b")) == ("GOVERNANCE", 2.0)


@pytest.mark.parametrize("wrong", [{"Days": 0}, {"Days": 1, "Years": 1}, {"Days": 36501}])
def test_default_retention_that_is_invalid_is_refused(s3: Any, wrong: dict[str, int]) -> None:
    with pytest.raises(ClientError, match=r"MalformedXML|InvalidArgument"):
        set_default(s3, Mode="GOVERNANCE", **wrong)


def test_versioning_of_a_locked_bucket_is_not_suspended(s3: Any) -> None:
    suspended = {"Status": "Suspended"}
    code, _ = refusal(s3.put_bucket_versioning, Bucket=BUCKET, VersioningConfiguration=suspended)

    assert code == "InvalidBucketState"


def test_bucket_without_lock_has_no_retention(s3: Any) -> None:
    s3.put_object(Bucket=PLAIN, Key="a", Body=b"")
    code, message = refusal(s3.get_object_retention, Bucket=PLAIN, Key="a")

    assert (code, message) == ("InvalidRequest", "Bucket is missing Object Lock Configuration")


def test_version_without_retention_has_none_to_show(s3: Any) -> None:
    set_default(s3)
    version = put(s3)

    assert refusal(s3.get_object_retention, **version)[0] == "NoSuchObjectLockConfiguration"
    s3.delete_object(**version)
