#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: list the first version of objects, and how long it is locked."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: s3_first_version_info
short_description: List the first version of objects, and how long Object Lock keeps it
description:
  - Lists the oldest version of each object, including objects that were overwritten or deleted.
  - Object Lock protects this version. A later write only adds a newer version.
author:
  - MLflow on EC2 contributors
options:
  bucket:
    description:
      - The name of the bucket, which has versioning.
    type: str
    required: true
  prefix:
    description:
      - Only objects whose keys begin with this are listed.
    type: str
    default: ''
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: List the copies of recovery points
  mlflow_ec2.aws.s3_first_version_info:
    bucket: demo-mlflow-copies-123456789012-us-west-2
    prefix: recovery/
"""

RETURN = r"""
object_lock:
  description: Whether the bucket has Object Lock.
  returned: always
  type: bool
  sample: true
default_days:
  description: For how many days the bucket locks new versions; 0 without.
  returned: always
  type: int
  sample: 14
s3_keys:
  description: The keys, in order.
  returned: always
  type: list
  elements: str
  sample: [recovery/20261129T120000Z/manifest.json]
versions:
  description: The first version of each, by key.
  returned: always
  type: dict
  contains:
    key:
      description: The key of the object.
      type: str
      sample: recovery/20261129T120000Z/manifest.json
    version_id:
      description: The id of the version.
      type: str
      sample: 3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY
    locked_until:
      description: Until when the version cannot be deleted, in UTC; empty if it can be deleted now.
      type: str
      sample: '2026-12-29T12:00:00Z'
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.object_locks import retention

CALLS_AT_A_TIME = 8
DAYS_OF_A_YEAR = 365


def first_versions(client: Any, bucket: str, prefix: str) -> dict[str, str]:
    """Return the oldest version of each key."""
    pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
    # The newest of each key is listed first.
    return {one["Key"]: one["VersionId"] for page in pages for one in page.get("Versions", [])}


def default_lock(client: Any, bucket: str) -> tuple[bool, int]:
    """Return whether a bucket has Object Lock, and for how many days by default."""
    try:
        found = client.get_object_lock_configuration(Bucket=bucket, aws_retry=True)
    except is_boto3_error_code("ObjectLockConfigurationNotFoundError"):
        return False, 0
    default = found["ObjectLockConfiguration"].get("Rule", {}).get("DefaultRetention", {})
    return True, int(default.get("Days", 0)) + DAYS_OF_A_YEAR * int(default.get("Years", 0))


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "bucket": {"type": "str", "required": True},
            "prefix": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    bucket = module.params["bucket"]
    backoff = AWSRetry.jittered_backoff(retries=8)
    client = module.client("s3", retry_decorator=backoff)

    def describe(version: tuple[str, str]) -> dict[str, str]:
        key, version_id = version
        locked = retention(client, {"Bucket": bucket, "Key": key, "VersionId": version_id})
        until = locked[1].strftime("%Y-%m-%dT%H:%M:%SZ") if locked else ""
        return {"key": key, "version_id": version_id, "locked_until": until}

    try:
        object_lock, days = default_lock(client, bucket)
        found = backoff(first_versions)(client, bucket, module.params["prefix"])
        with ThreadPoolExecutor(CALLS_AT_A_TIME) as threads:
            versions = dict(zip(found, threads.map(describe, found.items()), strict=True))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to list the versions of bucket {bucket}")
    module.exit_json(
        changed=False,
        object_lock=object_lock,
        default_days=days,
        s3_keys=sorted(versions),
        versions=versions,
    )


if __name__ == "__main__":
    main()
