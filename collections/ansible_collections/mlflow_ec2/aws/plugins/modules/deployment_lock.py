#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: the lock of a deployment, an object in its bucket."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: deployment_lock
short_description: Lock a deployment, so that only one run changes it
description:
  - Takes the lock of a deployment. The lock is an object in a bucket. If several runs create it at
    the same time, only one of them succeeds.
  - If another run holds the lock, the module fails. The error names the user, the playbook and the
    time since when it runs.
  - The lock is released when the run of the playbook ends, also if it fails or is killed. A process
    of the control machine waits for that (a callback named C(lock) makes the run wait for it).
  - A lock whose process has ended on this machine is stale. The module takes it over with a
    warning. Whether a process of another machine is running cannot be known from here;
    O(state=absent) breaks its lock.
  - The module does not take the lock in check mode, or if the bucket does not exist.
author:
  - MLflow on EC2 contributors
options:
  bucket:
    description:
      - The name of the bucket. It should have versioning, so that a run deletes no lock but its
        own.
    type: str
    required: true
  key:
    description:
      - The key of the lock.
    type: str
    required: true
  deployment:
    description:
      - The name of the deployment, for messages.
    type: str
    required: true
  state:
    description:
      - V(present) takes the lock for this run. V(absent) breaks the lock of another run.
    type: str
    choices: ['present', 'absent']
    default: present
  version_id:
    description:
      - With O(state=absent), only the lock of this version is broken.
    type: str
  owner:
    description:
      - The run that takes the lock. The module's action plugin sets it.
    type: dict
    suboptions:
      user:
        description: The user and the machine.
        type: str
        required: true
      playbook:
        description: The playbook.
        type: str
        required: true
      machine:
        description: What identifies the processes of the machine.
        type: str
        required: true
      process:
        description: The id of the process.
        type: int
        required: true
      start:
        description: When the process started, in ticks since the boot of the machine.
        type: int
        required: true
      run:
        description: A random text that identifies the run.
        type: str
        required: true
notes:
  - Taking the lock is not reported as a change, because it leaves nothing behind.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Take the lock
  mlflow_ec2.aws.deployment_lock:
    bucket: demo-mlflow-123456789012-us-east-1
    key: lock.json
    deployment: demo

- name: Break the lock
  mlflow_ec2.aws.deployment_lock:
    bucket: demo-mlflow-123456789012-us-east-1
    key: lock.json
    deployment: demo
    state: absent
"""

RETURN = r"""
locked:
  description: Whether this run holds the lock.
  returned: always
  type: bool
  sample: true
lock:
  description: The lock; empty if there is none.
  returned: always
  type: dict
  contains:
    version_id:
      description: The version of the object.
      type: str
      sample: 3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY
    since:
      description: When it was taken; for the lock of another run, by the clock of S3.
      type: str
      sample: 2026-11-29 14:40:12 UTC
    holder:
      description: The user, the playbook and the time.
      type: str
      sample: ops@laptop runs site.yml (process 4242) since 2026-11-29 14:40:12 UTC
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.lock_keeper import is_running, machine

# How often a lock that is released or stale is tried again, while other runs try as well.
ATTEMPTS = 10
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
TAKEN = ["PreconditionFailed", "ConditionalRequestConflict"]
# The version of an object that was stored without versioning.
UNVERSIONED = "null"


def _text(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


class LockedError(Exception):
    """Another run holds the lock."""


@dataclass(frozen=True)
class Lock:
    """A lock that exists.

    Attributes
    ----------
    owner
        Who took it, as the module's option has it.
    since
        When it was taken; for the lock of another run, by the clock of S3.
    """

    version_id: str
    owner: dict[str, Any]
    since: str

    @property
    def holder(self) -> str:
        """The user, the playbook and the time."""
        return (
            f"{self.owner.get('user')} runs {self.owner.get('playbook')} "
            f"(process {self.owner.get('process')}) since {self.since}"
        )

    @property
    def runs_here(self) -> bool | None:
        """Whether its process is running on this machine; None if it is another's."""
        if self.owner.get("machine") != machine():
            return None
        return is_running(self.owner.get("process", 0), self.owner.get("start", 0))

    def describe(self) -> dict[str, str]:
        """Return it as the module does."""
        return {"version_id": self.version_id, "since": self.since, "holder": self.holder}


class Locks:
    """The lock of one deployment."""

    def __init__(self, client: Any, bucket: str, key: str, deployment: str) -> None:
        self._client = client
        self._object = {"Bucket": bucket, "Key": key}
        self._deployment = deployment

    def read(self) -> Lock | None:
        """Return the lock, None if there is none."""
        try:
            found = self._client.get_object(**self._object, aws_retry=True)
        except is_boto3_error_code(["NoSuchKey", "NoSuchBucket"]):
            return None
        try:
            owner = json.loads(found["Body"].read())
        except ValueError:
            owner = {}
        return Lock(
            found.get("VersionId", UNVERSIONED),
            owner if isinstance(owner, dict) else {},
            _text(found["LastModified"]),
        )

    def take(self, owner: dict[str, Any], warn: Any) -> Lock | None:
        """Take the lock, and return it; return None if the bucket does not exist.

        Raises
        ------
        LockedError
            If another run holds it.
        """
        for _ in range(ATTEMPTS):
            try:
                put = self._client.put_object(
                    **self._object,
                    Body=json.dumps(owner).encode(),
                    ContentType="application/json",
                    IfNoneMatch="*",
                )
                return Lock(put.get("VersionId", UNVERSIONED), owner, _text(datetime.now(UTC)))
            except is_boto3_error_code("NoSuchBucket"):
                return None
            except is_boto3_error_code(TAKEN):
                found = self.read()
            if found is None:
                continue
            # botocore repeats a request whose answer it did not get.
            if found.owner.get("run") == owner["run"]:
                return found
            if found.runs_here is not False:
                raise LockedError(self._locked(found))
            warn(
                f"Deployment {self._deployment} had a stale lock, which is removed: {found.holder}"
            )
            self.delete(found)
        raise LockedError(self._locked(None))

    def delete(self, lock: Lock) -> None:
        """Delete this lock, and no later one."""
        self._client.delete_object(**self._object, VersionId=lock.version_id, aws_retry=True)

    def _locked(self, lock: Lock | None) -> str:
        holder = f" {lock.holder}." if lock else ""
        return (
            f"deployment: {self._deployment} is locked, because another run changes it.{holder} "
            "Wait until that run has ended. If it has ended without releasing the lock, break it "
            f"with `ansible-playbook playbooks/unlock.yml -e deployment={self._deployment}`."
        )


def take_lock(module: Any, locks: Locks) -> dict[str, Any]:
    """Take the lock; return the module's result."""
    lock = locks.read() if module.check_mode else locks.take(module.params["owner"], module.warn)
    return {
        "changed": False,
        "locked": lock is not None and not module.check_mode,
        "lock": lock.describe() if lock else {},
    }


def break_lock(module: Any, locks: Locks) -> dict[str, Any]:
    """Break the lock; return the module's result."""
    found, wanted = locks.read(), module.params["version_id"]
    name = module.params["deployment"]
    if found is None or wanted not in (None, found.version_id):
        return {"changed": False, "locked": False, "lock": {}}
    if not module.check_mode:
        if found.runs_here:
            module.fail_json(
                msg=f"deployment: the lock of {name} is not stale, because its process is running "
                f"on this machine: {found.holder}. End that process first."
            )
        locks.delete(found)
    return {"changed": True, "locked": False, "lock": found.describe()}


def main() -> None:
    """Run the module."""
    texts = ("user", "playbook", "machine", "run")
    owner_spec = {
        **{name: {"type": "str", "required": True} for name in texts},
        **{name: {"type": "int", "required": True} for name in ("process", "start")},
    }
    module = AnsibleAWSModule(
        argument_spec={
            "bucket": {"type": "str", "required": True},
            "key": {"type": "str", "required": True, "no_log": False},
            "deployment": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "version_id": {"type": "str"},
            "owner": {"type": "dict", "options": owner_spec},
        },
        supports_check_mode=True,
    )
    bucket, deployment = module.params["bucket"], module.params["deployment"]
    client = module.client("s3", retry_decorator=AWSRetry.jittered_backoff(retries=8))
    locks = Locks(client, bucket, module.params["key"], deployment)
    try:
        if module.params["state"] == "absent":
            result = break_lock(module, locks)
        else:
            result = take_lock(module, locks)
    except LockedError as error:
        module.fail_json(msg=str(error))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to use the lock in bucket {bucket}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
