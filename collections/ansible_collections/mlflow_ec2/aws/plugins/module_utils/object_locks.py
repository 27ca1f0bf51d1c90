# SPDX-License-Identifier: Apache-2.0
"""Retentions of Object Lock: how long a version cannot be deleted, and locking it for longer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code

# The bucket has no lock, the version has none, or it is gone.
_NO_LOCK = ("InvalidRequest", "NoSuchObjectLockConfiguration", "NoSuchVersion", "MethodNotAllowed")


def retention(client: Any, version: dict[str, str]) -> tuple[str, datetime] | None:
    """Return mode and end of the retention of a version, if it is locked now.

    Parameters
    ----------
    version
        `Bucket`, `Key` and `VersionId`.
    """
    try:
        found = client.get_object_retention(**version, aws_retry=True)["Retention"]
    except is_boto3_error_code(_NO_LOCK):
        return None
    until: datetime = found["RetainUntilDate"]
    return (found["Mode"], until) if until > datetime.now(UTC) else None


def lock(client: Any, version: dict[str, str], mode: str, until: datetime) -> None:
    """Lock a version until a time, unless it is locked for longer.

    A version that is locked in compliance mode stays in it: S3 weakens no lock.
    """
    wanted = {"Mode": mode, "RetainUntilDate": until}
    try:
        client.put_object_retention(**version, Retention=wanted, aws_retry=True)
    except is_boto3_error_code("AccessDenied"):
        present = retention(client, version)
        if present is None:
            raise
        stronger = "COMPLIANCE" if "COMPLIANCE" in (mode, present[0]) else mode
        if present[1] < until:
            wanted["Mode"] = stronger
            client.put_object_retention(**version, Retention=wanted, aws_retry=True)
        elif stronger != present[0]:
            # Governance for longer than compliance is asked for: the longer one stays.
            wanted = {"Mode": stronger, "RetainUntilDate": present[1]}
            client.put_object_retention(**version, Retention=wanted, aws_retry=True)
