#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: delete all versions of all objects of a bucket."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: s3_object_versions
short_description: Delete all objects of a bucket with all their versions
description:
  - Permanently deletes every version of every object of a bucket, and every delete marker,
    1,000 per request.
  - An interrupted task continues when it is run again, because it lists from the beginning.
  - The action plugin of the same name repeats the module until the bucket is empty, and prints
    the progress.
author:
  - MLflow on EC2 contributors
options:
  bucket:
    description:
      - The name of the bucket. A bucket that does not exist is empty.
    type: str
    required: true
  limit:
    description:
      - The most versions that one call of the module deletes, rounded up to whole requests.
    type: int
    default: 10000
  keep:
    description:
      - Keys of objects that are not deleted.
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

- name: Empty a bucket for good
  mlflow_ec2.aws.s3_object_versions:
    bucket: demo-mlflow-123456789012-us-east-1
"""

RETURN = r"""
deleted:
  description: Versions and delete markers that were deleted; in check mode those of the first page.
  returned: always
  type: int
  sample: 1234
finished:
  description: Whether the bucket was seen to be empty, except for what O(keep) names.
  returned: always
  type: bool
  sample: true
"""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

# https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
PAGE = 1000
REQUESTS_AT_A_TIME = 4
ATTEMPTS = 6
# What S3 answers for single objects while it is busy.
BUSY = {"InternalError", "ServiceUnavailable", "SlowDown"}


class DeletionError(Exception):
    """S3 has refused to delete an object."""


def list_versions(
    client: Any, bucket: str, most: int, keep: list[str]
) -> list[list[dict[str, str]]]:
    """Return the first versions of a bucket in pages, `most` in all, rounded up to pages.

    Versions of the keys in `keep` are left out.
    """
    pages: list[list[dict[str, str]]] = []
    # Retried as a whole: a page that failed would end the listing.
    paginator = client.get_paginator("list_object_versions")
    for page in paginator.paginate(Bucket=bucket, PaginationConfig={"PageSize": PAGE}):
        found = [
            {"Key": version["Key"], "VersionId": version["VersionId"]}
            for version in page.get("Versions", []) + page.get("DeleteMarkers", [])
            if version["Key"] not in keep
        ]
        if found:
            pages.append(found)
        if sum(map(len, pages)) >= most:
            break
    return pages


def delete_versions(client: Any, bucket: str, versions: list[dict[str, str]]) -> int:
    """Delete up to 1,000 versions, repeat what S3 was too busy for, and return how many.

    Raises
    ------
    DeletionError
        If S3 refuses to delete one, or stays busy.
    """
    left = versions
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(2 ** (attempt - 1))
        answer = client.delete_objects(
            Bucket=bucket, Delete={"Objects": left, "Quiet": True}, aws_retry=True
        )
        errors = answer.get("Errors", [])
        refused = [error for error in errors if error.get("Code") not in BUSY]
        if refused:
            first = refused[0]
            raise DeletionError(
                f"{len(refused)} objects of bucket {bucket} cannot be deleted, the first is "
                f"{first.get('Key')}: {first.get('Code')}: {first.get('Message')}"
            )
        left = [
            {"Key": error["Key"], "VersionId": error.get("VersionId", "null")} for error in errors
        ]
        if not left:
            return len(versions)
    raise DeletionError(f"S3 was too busy to delete {len(left)} objects of bucket {bucket}")


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "bucket": {"type": "str", "required": True},
            "limit": {"type": "int", "default": 10 * PAGE},
            "keep": {"type": "list", "elements": "str", "default": [], "no_log": False},
        },
        supports_check_mode=True,
    )
    bucket = module.params["bucket"]
    client = module.client("s3", retry_decorator=AWSRetry.jittered_backoff(retries=8))
    retried = AWSRetry.jittered_backoff(retries=8)
    try:
        most = PAGE if module.check_mode else module.params["limit"]
        pages = retried(list_versions)(client, bucket, most, module.params["keep"])
        if module.check_mode:
            deleted = sum(map(len, pages))
        else:
            with ThreadPoolExecutor(REQUESTS_AT_A_TIME) as threads:
                deleted = sum(
                    threads.map(lambda versions: delete_versions(client, bucket, versions), pages)
                )
    except is_boto3_error_code("NoSuchBucket"):
        pages, deleted = [], 0
    except DeletionError as error:
        module.fail_json(msg=str(error))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to empty bucket {bucket}")
    module.exit_json(changed=bool(pages), deleted=deleted, finished=not pages)


if __name__ == "__main__":
    main()
