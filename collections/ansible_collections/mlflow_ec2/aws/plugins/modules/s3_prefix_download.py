#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: download the objects of a bucket below a prefix."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: s3_prefix_download
short_description: Download the objects of a bucket below a prefix
description:
  - Downloads each object whose key begins with a prefix to a folder, under the rest of its key.
  - A file of the same size and time as its object stays as it is. So an interrupted task continues
    when it is run again. Files without an object stay.
  - A key that would lead out of the folder fails the task before anything is downloaded.
author:
  - MLflow on EC2 contributors
options:
  bucket:
    description:
      - The bucket.
    type: str
    required: true
  prefix:
    description:
      - The prefix, which ends with V(/).
    type: str
    required: true
  dest:
    description:
      - The folder, which is created if it is missing.
    type: path
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Download the artifacts
  mlflow_ec2.aws.s3_prefix_download:
    bucket: demo-mlflow-123456789012-us-east-1
    prefix: artifacts/
    dest: /srv/export/mlartifacts
"""

RETURN = r"""
objects:
  description: How many objects there are.
  returned: always
  type: int
  sample: 1234
bytes:
  description: The sum of their sizes.
  returned: always
  type: int
  sample: 567890
downloaded:
  description: How many of them were downloaded by this call.
  returned: always
  type: int
  sample: 1234
"""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

if TYPE_CHECKING:
    from datetime import datetime

DOWNLOADS_AT_A_TIME = 8


@dataclass(frozen=True)
class Download:
    """An object, and the file that it becomes."""

    key: str
    size: int
    modified: datetime
    file: Path

    def is_done(self) -> bool:
        """Return whether there is such a file already."""
        try:
            found = self.file.stat()
        except FileNotFoundError:
            return False
        return (found.st_size, int(found.st_mtime)) == (self.size, int(self.modified.timestamp()))


def file_of(folder: Path, key: str, prefix: str) -> Path:
    """Return the file of a key.

    Raises
    ------
    ValueError
        If it is not in the folder.
    """
    path = key.removeprefix(prefix)
    if not path or any(part in {"", ".", ".."} for part in path.split("/")) or "\0" in path:
        raise ValueError(
            f"bucket: {key!r} is not a valid key for a file below the folder. "
            "Rename or delete this object."
        )
    return folder / path


def listed(client: Any, bucket: str, prefix: str, folder: Path) -> list[Download]:
    """Return what is to be downloaded; objects that stand for folders are left out."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [
        Download(one["Key"], one["Size"], one["LastModified"], file_of(folder, one["Key"], prefix))
        for page in pages
        for one in page.get("Contents", [])
        if not (one["Key"].endswith("/") and one["Size"] == 0)
    ]


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "bucket": {"type": "str", "required": True},
            "prefix": {"type": "str", "required": True},
            "dest": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    bucket, prefix, dest = (module.params[name] for name in ("bucket", "prefix", "dest"))
    retry = AWSRetry.jittered_backoff(retries=8)
    client = module.client("s3", retry_decorator=retry)

    def download(wanted: Download) -> None:
        wanted.file.parent.mkdir(parents=True, exist_ok=True)
        # It appears under its name when it is complete.
        client.download_file(bucket, wanted.key, str(wanted.file))
        seconds = wanted.modified.timestamp()
        os.utime(wanted.file, (seconds, seconds))

    try:
        wanted = retry(listed)(client, bucket, prefix, Path(dest))
        lacking = [one for one in wanted if not one.is_done()]
        if not module.check_mode:
            Path(dest).mkdir(parents=True, exist_ok=True)
            with ThreadPoolExecutor(DOWNLOADS_AT_A_TIME) as threads:
                list(threads.map(download, lacking))
    except (ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to download objects of bucket {bucket}")
    module.exit_json(
        changed=bool(lacking),
        objects=len(wanted),
        bytes=sum(one.size for one in wanted),
        downloaded=len(lacking),
    )


if __name__ == "__main__":
    main()
