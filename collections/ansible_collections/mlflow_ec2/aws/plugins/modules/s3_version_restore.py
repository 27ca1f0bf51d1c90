#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: make the objects of a bucket what they were at a time."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: s3_version_restore
short_description: Make the objects of a bucket what they were at a time
description:
  - Makes the versions of a list of M(mlflow_ec2.aws.s3_version_list), or those that were current
    at a time, the current ones again. S3 copies them itself.
  - An object that was not there at that time gets a delete marker.
  - No version is removed, so the present objects can be restored in the same way.
  - An object whose content is that of its version is left as it is. So an interrupted task
    continues when it is run again.
author:
  - MLflow on EC2 contributors
options:
  bucket:
    description:
      - The bucket, which has versioning.
    type: str
    required: true
  key:
    description:
      - The key of a list in O(bucket).
    type: str
  sha256:
    description:
      - The SHA-256 of the list. Another list is refused.
    type: str
  prefix:
    description:
      - Only objects whose keys begin with this are restored or get a delete marker.
    type: str
    required: true
  begin:
    description:
      - Without O(key), the time whose versions are restored, as of
        M(mlflow_ec2.aws.s3_version_list).
    type: str
  end:
    description:
      - Without O(key), the end of that time.
    type: str
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Restore the artifacts of a recovery point
  mlflow_ec2.aws.s3_version_restore:
    bucket: demo-mlflow-123456789012-us-east-1
    prefix: artifacts/
    key: recovery/20261129T120000Z/objects.jsonl.gz
"""

RETURN = r"""
objects:
  description: How many objects there were at that time.
  returned: always
  type: int
  sample: 1234
bytes:
  description: The sum of their sizes.
  returned: always
  type: int
  sample: 567890
restored:
  description: How many of them had another content, or none, and were restored by this call.
  returned: always
  type: int
  sample: 2
deleted:
  description: How many objects got a delete marker from this call.
  returned: always
  type: int
  sample: 1
different:
  description: Keys that have not the restored content at the end, the first 100.
  returned: always
  type: list
  elements: str
  sample: []
"""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.object_versions import (
    ListError,
    Version,
    latest_versions,
    wanted_versions,
)

COPIES_AT_A_TIME = 8
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
MOST_DELETED_AT_ONCE = 1000
MOST_DIFFERENT = 100


class DeleteError(Exception):
    """S3 has refused to delete an object."""


def is_restored(wanted: Version, present: Version | None) -> bool:
    """Return whether an object is the wanted version or a copy of it."""
    if present is None:
        return False
    # The ETag of an object that was uploaded in parts says nothing about its content.
    same = present.etag == wanted.etag and "-" not in wanted.etag
    return present.version_id == wanted.version_id or (same and present.size == wanted.size)


def delete(client: Any, bucket: str, keys: list[str]) -> None:
    """Give objects a delete marker.

    Raises
    ------
    DeleteError
        If S3 refuses one of them.
    """
    for start in range(0, len(keys), MOST_DELETED_AT_ONCE):
        some = keys[start : start + MOST_DELETED_AT_ONCE]
        objects = {"Objects": [{"Key": key} for key in some], "Quiet": True}
        answer = client.delete_objects(Bucket=bucket, Delete=objects, aws_retry=True)
        for error in answer.get("Errors", []):
            raise DeleteError(f"{error['Key']}: {error['Code']}: {error.get('Message', '')}")


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "bucket": {"type": "str", "required": True},
            "key": {"type": "str", "no_log": False},
            "sha256": {"type": "str"},
            "prefix": {"type": "str", "required": True},
            "begin": {"type": "str"},
            "end": {"type": "str"},
        },
        required_one_of=[["key", "begin"]],
        mutually_exclusive=[["key", "begin"]],
        supports_check_mode=True,
    )
    params = module.params
    bucket, prefix = params["bucket"], params["prefix"]
    client = module.client("s3", retry_decorator=AWSRetry.jittered_backoff(retries=8))
    copied: dict[str, int] = {}

    def restore(version: Version) -> None:
        source = {"Bucket": bucket, "Key": version.key, "VersionId": version.version_id}
        # Parts, if it is larger than one copy may be.
        client.copy(source, bucket, version.key)
        copied[version.key] = version.size

    def latest() -> dict[str, Version]:
        return AWSRetry.jittered_backoff(retries=8)(latest_versions)(client, bucket, prefix)

    try:
        with tempfile.TemporaryDirectory(prefix="versions-") as folder:
            found = wanted_versions(client, params, Path(folder))
            wanted = {version.key: version for version in found if version.key.startswith(prefix)}
        present = latest()
        others = [one for key, one in wanted.items() if not is_restored(one, present.get(key))]
        later = sorted(present.keys() - wanted.keys())
        if not module.check_mode:
            with ThreadPoolExecutor(COPIES_AT_A_TIME) as threads:
                list(threads.map(restore, others))
            delete(client, bucket, later)
            present = latest()
    except (DeleteError, ListError, ValueError) as error:
        module.fail_json(msg=str(error))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to restore objects of bucket {bucket}")
    # A copy of what was uploaded in parts may have another ETag.
    different = (present.keys() ^ wanted.keys()) | {
        key
        for key in present.keys() & wanted.keys()
        if not is_restored(wanted[key], present[key]) and copied.get(key) != present[key].size
    }
    module.exit_json(
        changed=bool(others or later),
        objects=len(wanted),
        bytes=sum(version.size for version in wanted.values()),
        restored=len(others),
        deleted=len(later),
        different=sorted(different)[:MOST_DIFFERENT],
    )


if __name__ == "__main__":
    main()
