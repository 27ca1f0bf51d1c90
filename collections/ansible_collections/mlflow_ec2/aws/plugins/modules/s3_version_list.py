#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: list which versions of a bucket's objects were current in a time."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: s3_version_list
short_description: List the versions of a bucket's objects that were current in a time
description:
  - Lists one version of each object, the one that was current at O(begin), or the first one after
    that up to O(end). An object that was deleted after O(begin) is included.
  - Stores the list in the bucket itself, as compressed lines of JSON. It copies no object, so the
    versions must not expire while the list is used.
  - M(mlflow_ec2.aws.s3_version_copy) copies the objects of a list to another bucket.
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
  begin:
    description:
      - The beginning of the time, in ISO 8601, with whole seconds. Without a time zone it is UTC.
    type: str
    required: true
  end:
    description:
      - The end of the time. Left out, it is the time of the listing.
    type: str
  key:
    description:
      - The key under which the list is stored. The same list is not stored again.
    type: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: List the artifacts as they were at noon
  mlflow_ec2.aws.s3_version_list:
    bucket: demo-mlflow-123456789012-us-east-1
    prefix: artifacts/
    begin: '2026-11-29T12:00:00Z'
    end: '2026-11-29T12:00:00Z'
    key: recovery/20261129T120000Z/objects.jsonl.gz
"""

RETURN = r"""
objects:
  description: How many objects are listed.
  returned: always
  type: int
  sample: 1234
bytes:
  description: The sum of their sizes.
  returned: always
  type: int
  sample: 567890
sha256:
  description: The SHA-256 of the stored list, in hexadecimal digits.
  returned: always
  type: str
  sample: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
"""

import hashlib
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.object_versions import (
    current_versions,
    parse_time,
    write_list,
)


def is_stored(client: Any, bucket: str, key: str, content: bytes) -> bool:
    """Return whether the bucket has this content under the key."""
    try:
        present = client.head_object(Bucket=bucket, Key=key, aws_retry=True)
    except is_boto3_error_code("404"):
        return False
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return bool(present["ETag"].strip('"') == md5)


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "bucket": {"type": "str", "required": True},
            "prefix": {"type": "str", "default": ""},
            "begin": {"type": "str", "required": True},
            "end": {"type": "str"},
            "key": {"type": "str", "required": True, "no_log": False},
        },
        supports_check_mode=True,
    )
    bucket, key = module.params["bucket"], module.params["key"]
    try:
        begin = parse_time(module.params["begin"])
        end = parse_time(module.params["end"]) if module.params["end"] else None
    except ValueError as error:
        module.fail_json(msg=f"begin or end is not a valid time: {error}")
    client = module.client("s3", retry_decorator=AWSRetry.jittered_backoff(retries=8))
    try:
        with tempfile.TemporaryDirectory(prefix="versions-") as folder:
            file = Path(folder, "list")
            objects, size = write_list(
                file, current_versions(client, bucket, module.params["prefix"], begin, end)
            )
            content = file.read_bytes()
        changed = not is_stored(client, bucket, key, content)
        if changed and not module.check_mode:
            client.put_object(
                Bucket=bucket,
                Key=key,
                Body=content,
                ContentType="application/gzip",
                ServerSideEncryption="AES256",
                aws_retry=True,
            )
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to list the versions of bucket {bucket}")
    module.exit_json(
        changed=changed,
        objects=objects,
        bytes=size,
        sha256=hashlib.sha256(content).hexdigest(),
    )


if __name__ == "__main__":
    main()
