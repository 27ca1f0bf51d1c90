#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: copy a DB snapshot into another region."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rds_snapshot_copy
short_description: Copy a DB snapshot of RDS into another region
description:
  - Copies a snapshot into O(region), and waits until the copy is available. The snapshot may be
    encrypted, which M(amazon.aws.rds_instance_snapshot) does not copy, because it names no key.
  - A snapshot of that name is left as it is, and waited for. So an interrupted task continues when
    it is run again.
author:
  - MLflow on EC2 contributors
options:
  db_snapshot_identifier:
    description:
      - The name of the copy.
    type: str
    required: true
  source_db_snapshot_arn:
    description:
      - The ARN of the snapshot that is copied.
    type: str
    required: true
  kms_key_id:
    description:
      - The key of O(region) that encrypts the copy. RDS requires one if the source is encrypted.
    type: str
    default: alias/aws/rds
  tags:
    description:
      - The tags of the copy.
    type: dict
    default: {}
  wait_timeout:
    description:
      - For how many seconds the copy is waited for.
    type: int
    default: 14400
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Copy a snapshot to the west
  mlflow_ec2.aws.rds_snapshot_copy:
    db_snapshot_identifier: demo-mlflow-noon
    source_db_snapshot_arn: arn:aws:rds:us-east-1:123456789012:snapshot:demo-mlflow-noon
    tags: {Deployment: demo}
    region: us-west-2
"""

RETURN = r"""
status:
  description: The status of the copy.
  returned: success, except in check mode without a copy
  type: str
  sample: available
"""

import time
from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
)

POLL_SECONDS = 10


def find(client: Any, name: str) -> dict[str, Any] | None:
    """Return the snapshot of a name, if there is one."""
    try:
        answer = client.describe_db_snapshots(DBSnapshotIdentifier=name, aws_retry=True)
    except is_boto3_error_code(("DBSnapshotNotFound", "DBSnapshotNotFoundFault")):
        return None
    found: dict[str, Any] = answer["DBSnapshots"][0]
    return found


def wait(client: Any, name: str, seconds: float) -> str:
    """Wait until a snapshot has been created; return its status.

    After `seconds`, the status may still be `creating`.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = find(client, name)
        # A new one might not be listed yet.
        status = found["Status"] if found else "creating"
        if status not in {"creating", "copying"} or time.monotonic() > deadline:
            return str(status)
        time.sleep(min(POLL_SECONDS, seconds))


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "db_snapshot_identifier": {"type": "str", "required": True},
            "source_db_snapshot_arn": {"type": "str", "required": True},
            "kms_key_id": {"type": "str", "default": "alias/aws/rds", "no_log": False},
            "tags": {"type": "dict", "default": {}},
            "wait_timeout": {"type": "int", "default": 14400},
        },
        supports_check_mode=True,
    )
    params = module.params
    name, source = params["db_snapshot_identifier"], params["source_db_snapshot_arn"]
    client = module.client("rds", retry_decorator=AWSRetry.jittered_backoff())
    status = None
    try:
        changed = find(client, name) is None
        if changed and not module.check_mode:
            client.copy_db_snapshot(
                SourceDBSnapshotIdentifier=source,
                # botocore signs the request for that region, too.
                SourceRegion=source.split(":")[3],
                TargetDBSnapshotIdentifier=name,
                KmsKeyId=params["kms_key_id"],
                Tags=ansible_dict_to_boto3_tag_list(params["tags"]),
                aws_retry=True,
            )
        if not (changed and module.check_mode):
            status = wait(client, name, params["wait_timeout"])
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to copy DB snapshot {source}")
    if status not in {None, "available"}:
        module.fail_json(
            msg=f"The copy {name} of a DB snapshot is in state {status} and not available. If it "
            "has failed, delete it, and run the playbook again."
        )
    module.exit_json(changed=changed, **({"status": status} if status else {}))


if __name__ == "__main__":
    main()
