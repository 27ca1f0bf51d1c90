#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: delete the versions of a bucket of backups that no backup needs."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: s3_version_prune
short_description: Delete the versions of a bucket that no list of versions names
description:
  - Permanently deletes every version and every delete marker of a bucket, except the versions that
    O(lists) name and those whose keys begin with one of O(keep).
  - A version that Object Lock keeps is left, and counted.
  - The last key is deleted first, so that a manifest in C(recovery/) goes before what it names in
    C(artifacts/).
  - An interrupted task continues when it is run again.
author:
  - MLflow on EC2 contributors
options:
  bucket:
    description:
      - The name of the bucket. A bucket that does not exist is empty.
    type: str
    required: true
  lists:
    description:
      - Lists of M(mlflow_ec2.aws.s3_version_list_copy) in the bucket, whose versions are needed.
    type: list
    elements: dict
    default: []
    suboptions:
      key:
        description:
          - The key of the list.
        type: str
        required: true
      version_id:
        description:
          - The version of the list; left out, it is the current one.
        type: str
  keep:
    description:
      - Beginnings of keys whose versions are needed.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Delete what the last recovery point does not need
  mlflow_ec2.aws.s3_version_prune:
    bucket: demo-mlflow-copies-123456789012-us-west-2
    lists: [{key: recovery/20261129T120000Z/objects.jsonl.gz}]
    keep: [recovery/20261129T120000Z/]
"""

RETURN = r"""
deleted:
  description: Versions and delete markers that were deleted; in check mode all that can go.
  returned: always
  type: int
  sample: 1234
locked:
  description: Versions that are not needed and that Object Lock keeps.
  returned: always
  type: int
  sample: 12
locked_until:
  description: When the last of them can be deleted, in UTC; empty without one.
  returned: always
  type: str
  sample: '2026-12-29T12:00:00Z'
"""

import tempfile
import time
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.object_locks import retention
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.object_versions import (
    fetch_list,
    read_list,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

# https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
PAGE = 1000
ATTEMPTS = 6
# What S3 answers for single objects while it is busy.
BUSY = {"InternalError", "ServiceUnavailable", "SlowDown"}


class DeletionError(Exception):
    """S3 has refused to delete a version that is not locked, or stays busy."""


def needed_versions(client: Any, params: dict[str, Any]) -> set[tuple[str, str]]:
    """Return key and version of all that the lists name."""
    found = set()
    with tempfile.TemporaryDirectory(prefix="versions-") as folder:
        file = Path(folder, "list")
        for one in params["lists"]:
            name = {"Bucket": params["bucket"], "Key": one["key"]}
            fetch_list(client, file, name | {"VersionId": one["version_id"]})
            found |= {(version.key, version.version_id) for version in read_list(file)}
    return found


def unneeded_versions(
    client: Any, params: dict[str, Any], needed: set[tuple[str, str]]
) -> list[dict[str, str]]:
    """Return the versions and the delete markers that can go."""
    keep = tuple(params["keep"])

    def listed() -> Iterator[dict[str, Any]]:
        pages = client.get_paginator("list_object_versions").paginate(Bucket=params["bucket"])
        for page in pages:
            for one in page.get("Versions", []):
                if not (keep and one["Key"].startswith(keep)):
                    yield one
            # A marker hides what is needed, and is needed by nobody.
            yield from page.get("DeleteMarkers", [])

    found = [
        {"Key": one["Key"], "VersionId": one["VersionId"]}
        for one in listed()
        if (one["Key"], one["VersionId"]) not in needed
    ]
    return sorted(found, key=itemgetter("Key"), reverse=True)


def delete_versions(client: Any, bucket: str, versions: list[dict[str, str]]) -> list[datetime]:
    """Delete up to 1,000 versions; return until when each of those is locked that are left.

    Raises
    ------
    DeletionError
        If S3 refuses one that is not locked, or stays busy.
    """
    left, locked = versions, []
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(2 ** (attempt - 1))
        answer = client.delete_objects(
            Bucket=bucket, Delete={"Objects": left, "Quiet": True}, aws_retry=True
        )
        left = []
        for error in answer.get("Errors", []):
            version = {"Key": error["Key"], "VersionId": error.get("VersionId", "null")}
            if error.get("Code") in BUSY:
                left.append(version)
                continue
            kept = retention(client, {"Bucket": bucket, **version})
            if kept is None:
                raise DeletionError(
                    f"{error['Key']} of bucket {bucket} cannot be deleted: {error.get('Code')}: "
                    f"{error.get('Message')}"
                )
            locked.append(kept[1])
        if not left:
            return locked
    raise DeletionError(f"S3 was too busy to delete {len(left)} objects of bucket {bucket}")


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "bucket": {"type": "str", "required": True},
            "lists": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "key": {"type": "str", "required": True, "no_log": False},
                    "version_id": {"type": "str"},
                },
            },
            "keep": {"type": "list", "elements": "str", "default": [], "no_log": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    bucket = params["bucket"]
    backoff = AWSRetry.jittered_backoff(retries=8)
    client = module.client("s3", retry_decorator=backoff)
    unneeded: list[dict[str, str]] = []
    locked: list[datetime] = []
    try:
        needed = needed_versions(client, params)
        unneeded = backoff(unneeded_versions)(client, params, needed)
        if not module.check_mode:
            for page in range(0, len(unneeded), PAGE):
                locked += delete_versions(client, bucket, unneeded[page : page + PAGE])
    except is_boto3_error_code("NoSuchBucket"):
        unneeded = []
    except DeletionError as error:
        module.fail_json(msg=str(error))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to delete versions of bucket {bucket}")
    deleted = len(unneeded) - len(locked)
    module.exit_json(
        changed=deleted > 0,
        deleted=deleted,
        locked=len(locked),
        locked_until=max(locked).strftime("%Y-%m-%dT%H:%M:%SZ") if locked else "",
    )


if __name__ == "__main__":
    main()
