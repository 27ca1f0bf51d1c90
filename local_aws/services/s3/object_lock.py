"""Object Lock: versions of objects that nobody deletes before their time.

moto keeps the lock of a bucket and the retention of its objects, and refuses to delete a locked
version. AWS also, which programs that protect backups rely on:

- locks what is uploaded in parts, or copied, by the default retention of the bucket;
- returns the retention of a version (moto returns the object instead);
- lets a caller with s3:PutObjectRetention extend a retention. Shortening or removing it requires
  governance mode, s3:BypassGovernanceRetention and the header of the bypass. In compliance mode,
  it is refused to everybody;
- changes the default retention of a bucket that holds objects, and refuses to suspend its
  versioning;
- names the version in what it says of each object that DeleteObjects could not delete.

Sources:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectRetention.html
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import xmltodict
from moto.core.responses import ActionResult
from moto.iam.access_control import PermissionResult
from moto.s3.exceptions import MalformedXML, S3ClientError
from moto.s3.models import FakeBucket, FakeKey, S3Backend
from moto.s3.responses import ACTION_MAP, S3Response

from local_aws.patching import replace

if TYPE_CHECKING:
    from local_aws.settings import Settings

BYPASS = "x-amz-bypass-governance-retention"
MODES = ("GOVERNANCE", "COMPLIANCE")
MOST_DAYS = 36500
MOST_YEARS = 100
# Each says that the body of an upload is checked.
_CHECKSUMS = ("content-md5", "x-amz-checksum-", "x-amz-sdk-checksum-algorithm", "x-amz-trailer")


class LockedError(S3ClientError):
    """A version is locked."""

    def __init__(self) -> None:
        """Say so in AWS's words."""
        super().__init__("AccessDenied", "Access Denied because object protected by object lock.")


def apply(settings: Settings) -> None:
    """Complete moto's Object Lock."""
    del settings
    for method, verb in (("GET", "Get"), ("PUT", "Put")):
        ACTION_MAP["KEY"][method]["retention"] = f"{verb}ObjectRetention"
        ACTION_MAP["KEY"][method]["legal-hold"] = f"{verb}ObjectLegalHold"
    _patch_buckets()
    _patch_uploads()
    _patch_retention()
    _patch_deletion()


def bypasses(headers: Any) -> bool:
    """Return whether a request asks to bypass retentions in governance mode."""
    return str(headers.get(BYPASS, "")).lower() == "true"


def _patch_buckets() -> None:
    set_versioning = S3Backend.put_bucket_versioning
    read_configuration = S3Backend.get_object_lock_configuration

    def put_object_lock_configuration(
        self: Any, bucket_name: str, lock_enabled: Any, *default: Any
    ) -> None:
        mode, days, years = default
        bucket = self.get_bucket(bucket_name)
        if not lock_enabled:
            raise MalformedXML
        if not bucket.is_versioned:
            raise S3ClientError(
                "InvalidBucketState",
                "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration",
            )
        if mode is not None:
            _check_default(mode, days, years)
        bucket.object_lock_enabled = True
        bucket.default_lock_mode = mode
        bucket.default_lock_days, bucket.default_lock_years = days, years

    def get_object_lock_configuration(self: Any, bucket_name: str) -> Any:
        enabled, mode, days, years = read_configuration(self, bucket_name)
        # Of days and years the one that was set.
        return enabled, mode, days or None, years or None

    def put_bucket_versioning(self: Any, bucket_name: str, status: str) -> None:
        if self.get_bucket(bucket_name).object_lock_enabled and status != "Enabled":
            raise S3ClientError(
                "InvalidBucketState",
                "An Object Lock configuration is present on this bucket, so the versioning state "
                "cannot be changed.",
            )
        set_versioning(self, bucket_name, status)

    for function in (
        put_object_lock_configuration,
        get_object_lock_configuration,
        put_bucket_versioning,
    ):
        replace(S3Backend, function.__name__, function)


def _check_default(mode: str, days: int | None, years: int | None) -> None:
    if mode not in MODES or bool(days) == bool(years):
        raise MalformedXML
    if (days or 1) < 1 or (years or 1) < 1:
        raise S3ClientError(
            "InvalidArgument", "Default retention period must be a positive integer value."
        )
    if (days or 1) > MOST_DAYS or (years or 1) > MOST_YEARS:
        raise S3ClientError("InvalidArgument", "Default retention period too large")


def _patch_uploads() -> None:
    put = S3Backend.put_object
    upload = S3Response.put_object
    has_default: Any = FakeBucket.has_default_lock

    def put_object(self: Any, bucket_name: str, *arguments: Any, **named: Any) -> Any:
        bucket = self.get_bucket(bucket_name)
        if not named.get("lock_mode") and has_default.fget(bucket):
            named["lock_mode"] = bucket.default_lock_mode
            named["lock_until"] = bucket.default_retention()
        return put(self, bucket_name, *arguments, **named)

    def upload_object(self: Any) -> Any:
        bucket = self.backend.get_bucket(self.bucket_name)
        names = [name.lower() for name, _ in self.headers.items()]
        if has_default.fget(bucket) and not any(name.startswith(_CHECKSUMS) for name in names):
            raise S3ClientError(
                "InvalidRequest",
                "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests "
                "with Object Lock parameters",
            )
        return upload(self)

    replace(S3Backend, "put_object", put_object)
    replace(S3Response, "put_object", upload_object)
    # moto asks copies and changes of tags for a checksum, too, and leaves out parts.
    replace(FakeBucket, "has_default_lock", property(lambda _bucket: False))


def _patch_retention() -> None:
    answer = S3Response._key_response_get  # noqa: SLF001 - moto has no other way to the part

    def key_response_get(self: Any, query: dict[str, Any], key_name: str) -> Any:
        if "retention" not in query:
            return answer(self, query, key_name)
        self._set_action("KEY", "GET", query)
        self._authenticate_and_authorize_s3_action(bucket_name=self.bucket_name, key_name=key_name)
        _check_bucket(self.backend.get_bucket(self.bucket_name))
        key, _ = self._get_key()
        if not key.lock_mode:
            raise S3ClientError(
                "NoSuchObjectLockConfiguration",
                "The specified object does not have a ObjectLock configuration",
            )
        self.data["Action"] = "GetObjectRetention"
        until = _time(key.lock_until)
        return self.serialized(
            ActionResult({"Retention": {"Mode": key.lock_mode, "RetainUntilDate": until}})
        )

    def put_object_retention(self: Any) -> Any:
        _check_bucket(self.backend.get_bucket(self.bucket_name))
        self.querystring.pop("retention", None)
        key, _ = self._get_key()
        mode, until = self._mode_until_from_body()
        _check_retention(key, mode, until, bypass=bypasses(self.headers))
        key.lock_mode, key.lock_until = mode, until
        return 200, {}, ""

    replace(S3Response, "_key_response_get", key_response_get)
    replace(S3Response, "put_object_retention", put_object_retention)


def _check_bucket(bucket: Any) -> None:
    if not bucket.object_lock_enabled:
        raise S3ClientError("InvalidRequest", "Bucket is missing Object Lock Configuration")


def _check_retention(key: Any, mode: str | None, until: str | None, *, bypass: bool) -> None:
    """Refuse a retention that is invalid, or weaker than the one that the version has."""
    if (mode is None) != (until is None) or mode not in (None, *MODES):
        raise MalformedXML
    if until is not None and _time(until) <= datetime.now(UTC):
        raise S3ClientError("InvalidArgument", "The retain until date must be in the future!")
    present = FakeKey.is_locked(key, governance_bypass=False) and key.lock_mode
    if not present or (present == "GOVERNANCE" and bypass):
        return
    is_shorter = until is None or _time(until) < _time(key.lock_until)
    if is_shorter or (present == "COMPLIANCE" and mode != present):
        raise LockedError


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _patch_deletion() -> None:
    delete = S3Backend.delete_object

    def delete_object(
        self: Any,
        bucket_name: str,
        key_name: str,
        version_id: str | None = None,
        bypass: Any = False,  # noqa: FBT002 - as moto calls it
    ) -> Any:
        # moto takes a header that says "false" for a wish.
        bypassing = bypass is True or str(bypass).lower() == "true"
        if version_id is not None:
            for version in self.get_bucket(bucket_name).keys.getlist(key_name, []):
                if (
                    isinstance(version, FakeKey)
                    and str(version.version_id) == str(version_id)
                    and version.is_locked(governance_bypass=bypassing)
                ):
                    raise LockedError
        return delete(self, bucket_name, key_name, version_id, bypassing)

    # Errors with their versions; moto has the keys alone.
    def delete_objects(
        self: Any,
        bucket_name: str,
        objects: list[dict[str, Any]],
        bypass_retention: bool = False,  # noqa: FBT001, FBT002 - as moto calls it
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        deleted, errors = [], []
        for one in objects:
            version = one.get("VersionId")
            try:
                _, answer = self.delete_object(bucket_name, one["Key"], version, bypass_retention)
            except LockedError as error:
                errors.append(_error(one, str(error.message)))
                continue
            marker = None if version else (answer or {}).get("version-id")
            deleted.append(
                {
                    "Key": one["Key"],
                    "VersionId": version,
                    "DeleteMarkerVersionId": marker,
                    "DeleteMarker": True if marker else None,
                }
            )
        return deleted, errors

    replace(S3Backend, "delete_object", delete_object)
    replace(S3Backend, "delete_objects", delete_objects)
    replace(S3Response, "_bucket_response_delete_keys", _delete_several)


def _delete_several(
    self: Any,
    bucket_name: str,
    authenticated: bool = True,  # noqa: FBT001, FBT002 - as moto calls it
) -> Any:
    """Answer DeleteObjects."""
    found = xmltodict.parse(self.body, strip_whitespace=False)["Delete"].get("Object", [])
    objects = found if isinstance(found, list) else [found]
    if not objects:
        raise MalformedXML
    bucket = self.backend.get_bucket(bucket_name)
    allowed, errors = [], []
    for one in objects:
        permission = bucket.get_permission(
            "s3:DeleteObject", f"arn:aws:s3:::{bucket_name}/{one['Key']}"
        )
        if authenticated and permission != PermissionResult.DENIED:
            allowed.append(one)
        else:
            errors.append(_error(one, "Access Denied"))
    deleted, locked = self.backend.delete_objects(bucket_name, allowed, bypasses(self.headers))
    self.data["Action"] = "DeleteObjects"
    return self.serialized(ActionResult({"Deleted": deleted, "Errors": errors + locked}))


def _error(one: dict[str, Any], message: str) -> dict[str, Any]:
    return {
        "Key": one["Key"],
        "VersionId": one.get("VersionId"),
        "Code": "AccessDenied",
        "Message": message,
    }
