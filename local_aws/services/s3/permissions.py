"""Calls of S3, whose actions are not called like its operations."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from local_aws.authorization import actions
from local_aws.authorization.needs.call import Need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_aws.authorization.conditions import Context
    from local_aws.authorization.needs.call import Call

_BYPASSING = frozenset({"DeleteObject", "DeleteObjectVersion", "PutObjectRetention"})


def needs(call: Call) -> Iterator[Need]:
    """Yield what a call of S3 needs: `call.operation` is the name of the action."""
    bucket, key = call.parameters.get("Bucket"), call.parameters.get("Key")
    keys = _keys(call)
    yield _on(f"s3:{call.operation}", bucket, key, keys)
    if call.operation == "PutObject":
        source = call.headers.get("X-Amz-Copy-Source")
        if source:
            path, _, version = unquote(source).lstrip("/").partition("?versionId=")
            other, _, name = path.partition("/")
            yield _on(f"s3:GetObject{'Version' if version else ''}", other, name, keys)
        if call.headers.get("X-Amz-Tagging"):
            yield _on("s3:PutObjectTagging", bucket, key, keys)
        if call.headers.get("X-Amz-Object-Lock-Mode"):
            yield _on("s3:PutObjectRetention", bucket, key, keys)
        if call.headers.get("X-Amz-Object-Lock-Legal-Hold"):
            yield _on("s3:PutObjectLegalHold", bucket, key, keys)
    yield from _of_locks(call)


def _of_locks(call: Call) -> Iterator[Need]:
    """Yield what Object Lock needs beside the call's own action.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html
    """
    bucket, key = call.parameters.get("Bucket"), call.parameters.get("Key")
    keys = _keys(call)
    if call.operation == "CreateBucket" and _is_true(call, "X-Amz-Bucket-Object-Lock-Enabled"):
        yield _on("s3:PutBucketObjectLockConfiguration", bucket, None, keys)
        yield _on("s3:PutBucketVersioning", bucket, None, keys)
    if call.operation in _BYPASSING and _is_true(call, "X-Amz-Bypass-Governance-Retention"):
        yield _on("s3:BypassGovernanceRetention", bucket, key, keys)


def _is_true(call: Call, header: str) -> bool:
    return call.headers.get(header, "").lower() == "true"


def _on(name: str, bucket: str | None, key: str | None, keys: Context) -> Need:
    action = actions.find(name)
    kinds = action.types if action else {}
    if bucket and key and "object" in kinds:
        return Need(name, f"arn:aws:s3:::{bucket}/{key}", "object", keys)
    if bucket and "bucket" in kinds:
        return Need(name, f"arn:aws:s3:::{bucket}", "bucket", keys)
    return Need(name, keys=keys)


def _keys(call: Call) -> Context:
    names = ("prefix", "delimiter", "max-keys", "versionId")
    query: dict[str, str] = call.parameters.get("Query", {})
    keys: Context = {f"s3:{name.lower()}": (query[name],) for name in names if query.get(name)}
    if call.parameters.get("Bucket"):
        # There is one account here.
        keys["s3:resourceaccount"] = keys["aws:resourceaccount"] = (call.account,)
    for name in ("X-Amz-Acl", "X-Amz-Server-Side-Encryption"):
        if call.headers.get(name):
            keys[f"s3:{name.lower()}"] = (call.headers[name],)
    return keys
