#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: copy versions of a bucket's objects to another bucket."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: s3_version_copy
short_description: Copy the objects of a bucket, as they were at a time, to another bucket
description:
  - Copies the versions of a list of M(mlflow_ec2.aws.s3_version_list), or those that were current
    at a time, to the same keys of another bucket. S3 copies them itself.
  - An object that the other bucket has already is not overwritten. So an interrupted task
    continues when it is run again.
author:
  - MLflow on EC2 contributors
options:
  bucket:
    description:
      - The bucket that has the versions.
    type: str
    required: true
  target:
    description:
      - The bucket to which they are copied.
    type: str
    required: true
  key:
    description:
      - The key of a list in O(bucket).
    type: str
  version_id:
    description:
      - The version of the list; left out, it is the current one.
    type: str
  sha256:
    description:
      - The SHA-256 of the list. Another list is refused.
    type: str
  prefix:
    description:
      - Without O(key), objects whose keys begin with this are copied.
    type: str
    default: ''
  begin:
    description:
      - Without O(key), the time whose versions are copied, as of M(mlflow_ec2.aws.s3_version_list).
    type: str
  end:
    description:
      - Without O(key), the end of that time.
    type: str
  compare_bytes:
    description:
      - Reads each version and its copy, and compares their bytes. Otherwise sizes and ETags are
        compared, as the other bucket lists them.
    type: bool
    default: false
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Copy the artifacts of a recovery point to a new deployment
  mlflow_ec2.aws.s3_version_copy:
    bucket: demo-mlflow-123456789012-us-east-1
    target: demo2-mlflow-123456789012-us-east-1
    key: recovery/20261129T120000Z/objects.jsonl.gz
"""

RETURN = r"""
objects:
  description: How many objects are to be in the other bucket.
  returned: always
  type: int
  sample: 1234
bytes:
  description: The sum of their sizes.
  returned: always
  type: int
  sample: 567890
copied:
  description: How many of them were copied by this call.
  returned: always
  type: int
  sample: 1234
different:
  description:
    - Keys under which the other bucket has other content, the first 100. Without O(compare_bytes),
      objects that were uploaded in parts are compared by their size.
  returned: always
  type: list
  elements: str
  sample: []
"""

import hashlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.object_versions import (
    ListError,
    Version,
    wanted_versions,
)

COPIES_AT_A_TIME = 8
PIECE_BYTES = 1 << 20
MOST_DIFFERENT = 100


def present_objects(client: Any, bucket: str, prefix: str) -> dict[str, tuple[int, str]]:
    """Return size and ETag of each object of a bucket, by key."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {
        one["Key"]: (one["Size"], one["ETag"].strip('"'))
        for page in pages
        for one in page.get("Contents", [])
    }


def is_same(version: Version, present: tuple[int, str]) -> bool:
    """Return whether an object has the content of a version, as far as the listing says."""
    size, etag = present
    comparable = "-" not in version.etag and "-" not in etag
    return size == version.size and (etag == version.etag or not comparable)


def digest(client: Any, **wanted: str) -> bytes:
    """Return the SHA-256 of an object, which is read piece by piece."""
    found = hashlib.sha256()
    for piece in client.get_object(**wanted, aws_retry=True)["Body"].iter_chunks(PIECE_BYTES):
        found.update(piece)
    return found.digest()


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "bucket": {"type": "str", "required": True},
            "target": {"type": "str", "required": True},
            "key": {"type": "str", "no_log": False},
            "version_id": {"type": "str"},
            "sha256": {"type": "str"},
            "prefix": {"type": "str", "default": ""},
            "begin": {"type": "str"},
            "end": {"type": "str"},
            "compare_bytes": {"type": "bool", "default": False},
        },
        required_one_of=[["key", "begin"]],
        mutually_exclusive=[["key", "begin"]],
        required_by={"version_id": "key"},
        supports_check_mode=True,
    )
    params = module.params
    client = module.client("s3", retry_decorator=AWSRetry.jittered_backoff(retries=8))

    def copy(version: Version) -> None:
        source = {
            "Bucket": params["bucket"],
            "Key": version.key,
            "VersionId": version.version_id,
        }
        # Parts, if it is larger than one copy may be.
        client.copy(source, params["target"], version.key)

    def has_same_bytes(version: Version) -> bool:
        source = {"Bucket": params["bucket"], "VersionId": version.version_id}
        return digest(client, Key=version.key, **source) == digest(
            client, Bucket=params["target"], Key=version.key
        )

    retried = AWSRetry.jittered_backoff(retries=8)
    try:
        with tempfile.TemporaryDirectory(prefix="versions-") as folder:
            versions = list(wanted_versions(client, params, Path(folder)))
        present = retried(present_objects)(client, params["target"], params["prefix"])
        lacking = [version for version in versions if version.key not in present]
        if lacking and not module.check_mode:
            with ThreadPoolExecutor(COPIES_AT_A_TIME) as threads:
                list(threads.map(copy, lacking))
            present = retried(present_objects)(client, params["target"], params["prefix"])
        compare = has_same_bytes if params["compare_bytes"] else None
        different = (
            version.key
            for version in versions
            if version.key in present
            and not (is_same(version, present[version.key]) and (not compare or compare(version)))
        )
        different_keys = list(islice(different, MOST_DIFFERENT))
    except (ListError, ValueError) as error:
        module.fail_json(msg=str(error))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to copy objects of bucket {params['bucket']}")
    module.exit_json(
        changed=bool(lacking),
        objects=len(versions),
        bytes=sum(version.size for version in versions),
        copied=len(lacking),
        different=different_keys,
    )


if __name__ == "__main__":
    main()
