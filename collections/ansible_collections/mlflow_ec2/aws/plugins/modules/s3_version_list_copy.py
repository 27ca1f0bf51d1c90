#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: copy a list of versions, and what it lists, to a bucket of backups."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: s3_version_list_copy
short_description: Copy a list of versions and its objects to a bucket that has several lists
description:
  - Copies the versions of a list of M(mlflow_ec2.aws.s3_version_list) to the same keys of another
    bucket, which may be in another region and has versioning. S3 copies them itself.
  - Stores a list of the copied versions there. M(mlflow_ec2.aws.s3_version_copy) copies its objects
    from there.
  - A version that the other bucket has already is not copied again. So each call copies what is
    new since the last one, and an interrupted task continues when it is run again.
  - In a bucket with Object Lock, all versions of the list are locked for O(lock_days) from now on.
author:
  - MLflow on EC2 contributors
options:
  bucket:
    description:
      - The bucket that has the versions.
    type: str
    required: true
  bucket_region:
    description:
      - Its region. O(region) is that of O(target).
    type: str
    required: true
  key:
    description:
      - The key of the list in O(bucket), and of its copy in O(target).
    type: str
    required: true
  sha256:
    description:
      - The SHA-256 of the list. Another list is refused.
    type: str
    required: true
  target:
    description:
      - The bucket to which they are copied.
    type: str
    required: true
  prefix:
    description:
      - What the keys of all objects begin with, in every list of O(target).
    type: str
    required: true
  previous:
    description:
      - Lists in O(target) that name versions which were copied before.
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
  lock_days:
    description:
      - For how many days the versions are locked. The bucket locks new ones by its own default
        retention, which should be as long. With V(0) nothing is locked.
    type: int
    default: 0
  lock_mode:
    description:
      - The mode in which they are locked.
    type: str
    choices: [GOVERNANCE, COMPLIANCE]
    default: GOVERNANCE
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Copy the artifacts of a recovery point to another region
  mlflow_ec2.aws.s3_version_list_copy:
    bucket: demo-mlflow-123456789012-us-east-1
    bucket_region: us-east-1
    key: recovery/20261129T120000Z/objects.jsonl.gz
    sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    target: demo-mlflow-copies-123456789012-us-west-2
    prefix: artifacts/
    region: us-west-2
"""

RETURN = r"""
objects:
  description: How many objects the list has.
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
  sample: 12
sha256:
  description: The SHA-256 of the stored list, in hexadecimal digits.
  returned: success, except in check mode
  type: str
  sample: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
version_id:
  description: The version of the stored list.
  returned: success, except in check mode
  type: str
  sample: 3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY
"""

import hashlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.object_locks import lock
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.object_versions import (
    ListError,
    Version,
    fetch_list,
    read_list,
    write_list,
)

CALLS_AT_A_TIME = 8
# Larger ones are copied in parts.
ONE_CALL_BYTES = 64 << 20


class CopyError(Exception):
    """A copy does not have the size of its source."""


class Target:
    """A bucket of copies: what it has, and how more comes into it."""

    def __init__(self, params: dict[str, Any], client: Any, source: Any) -> None:
        self.params = params
        self.client = client
        self.source = source
        self.by_source: dict[tuple[str, str | None], Version] = {}
        self.by_content: dict[tuple[str, int, str], Version] = {}
        self.present: set[tuple[str, str]] = set()

    def look(self) -> None:
        """Read which versions the bucket has, and of which versions they are copies."""
        pages = self.client.get_paginator("list_object_versions").paginate(
            Bucket=self.params["target"], Prefix=self.params["prefix"]
        )
        for page in pages:
            for one in page.get("Versions", []):
                etag = one["ETag"].strip('"')
                found = Version(one["Key"], one["VersionId"], one["Size"], etag)
                self.present.add((found.key, found.version_id))
                # The ETag of an object that came in parts says nothing about its content.
                if "-" not in etag:
                    self.by_content[found.key, found.size, etag] = found
        for one in self.params["previous"]:
            name = {"Bucket": self.params["target"], "Key": one["key"]}
            with tempfile.TemporaryDirectory(prefix="versions-") as folder:
                file = Path(folder, "list")
                fetch_list(self.client, file, name | {"VersionId": one["version_id"]})
                for version in read_list(file):
                    self.by_source[version.key, version.source] = version

    def find(self, wanted: Version) -> Version | None:
        """Return the copy of a version, if the bucket has it."""
        candidates = (
            self.by_source.get((wanted.key, wanted.version_id)),
            self.by_content.get((wanted.key, wanted.size, wanted.etag)),
        )
        for found in candidates:
            if found is not None and (found.key, found.version_id) in self.present:
                return replace(found, source=wanted.version_id)
        return None

    def copy(self, wanted: Version) -> Version:
        """Copy a version; return the copy.

        Raises
        ------
        CopyError
            If it has another size.
        """
        bucket, key = self.params["target"], wanted.key
        source = {"Bucket": self.params["bucket"], "Key": key, "VersionId": wanted.version_id}
        if wanted.size > ONE_CALL_BYTES:
            self.client.copy(source, bucket, key, SourceClient=self.source)
            made = self.client.head_object(Bucket=bucket, Key=key, aws_retry=True)
        else:
            version = self.client.copy_object(
                Bucket=bucket, Key=key, CopySource=source, aws_retry=True
            )["VersionId"]
            made = self.client.head_object(
                Bucket=bucket, Key=key, VersionId=version, aws_retry=True
            )
        if made["ContentLength"] != wanted.size:
            raise CopyError(
                f"The copy of {key} in bucket {bucket} has {made['ContentLength']} bytes, and not "
                f"{wanted.size}. Run the playbook again."
            )
        etag = made["ETag"].strip('"')
        return Version(key, made["VersionId"], wanted.size, etag, wanted.version_id)

    def lock(self, version: Version, until: datetime) -> None:
        """Lock a version that was copied before."""
        lock(
            self.client,
            {
                "Bucket": self.params["target"],
                "Key": version.key,
                "VersionId": version.version_id,
            },
            self.params["lock_mode"],
            until,
        )

    def store(self, content: bytes) -> str:
        """Store the list; return its version."""
        answer = self.client.put_object(
            Bucket=self.params["target"],
            Key=self.params["key"],
            Body=content,
            ContentType="application/gzip",
            ServerSideEncryption="AES256",
            aws_retry=True,
        )
        return str(answer["VersionId"])


def copy_list(target: Target, wanted: list[Version], folder: Path) -> dict[str, Any]:
    """Copy what the bucket lacks, lock the rest, and store the list; return the results."""
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=target.params["lock_days"])
    found = {version.key: target.find(version) for version in wanted}
    present = [version for version in found.values() if version is not None]
    lacking = [version for version in wanted if found[version.key] is None]
    with ThreadPoolExecutor(CALLS_AT_A_TIME) as threads:
        copies = {version.key: version for version in threads.map(target.copy, lacking)}
        if target.params["lock_days"]:
            list(threads.map(lambda version: target.lock(version, until), present))
    file = folder / "copied"
    write_list(file, (found[version.key] or copies[version.key] for version in wanted))
    content = file.read_bytes()
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "version_id": target.store(content),
        "copied": len(copies),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "bucket": {"type": "str", "required": True},
            "bucket_region": {"type": "str", "required": True},
            "key": {"type": "str", "required": True, "no_log": False},
            "sha256": {"type": "str", "required": True},
            "target": {"type": "str", "required": True},
            "prefix": {"type": "str", "required": True},
            "previous": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "key": {"type": "str", "required": True, "no_log": False},
                    "version_id": {"type": "str"},
                },
            },
            "lock_days": {"type": "int", "default": 0},
            "lock_mode": {
                "type": "str",
                "choices": ["GOVERNANCE", "COMPLIANCE"],
                "default": "GOVERNANCE",
            },
        },
        supports_check_mode=True,
    )
    params = module.params
    backoff = AWSRetry.jittered_backoff(retries=8)
    client = module.client("s3", retry_decorator=backoff)
    source = module.client("s3", retry_decorator=backoff, region=params["bucket_region"])
    target = Target(params, client, source)
    try:
        with tempfile.TemporaryDirectory(prefix="versions-") as folder:
            file = Path(folder, "list")
            name = {"Bucket": params["bucket"], "Key": params["key"]}
            fetch_list(source, file, name, sha256=params["sha256"])
            wanted = list(read_list(file))
            backoff(target.look)()
            if module.check_mode:
                lacking = [version for version in wanted if target.find(version) is None]
                result = {"copied": len(lacking)}
            else:
                result = copy_list(target, wanted, Path(folder))
    except (CopyError, ListError) as error:
        module.fail_json(msg=str(error))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to copy objects of bucket {params['bucket']}")
    module.exit_json(
        changed=True,
        objects=len(wanted),
        bytes=sum(version.size for version in wanted),
        **result,
    )


if __name__ == "__main__":
    main()
