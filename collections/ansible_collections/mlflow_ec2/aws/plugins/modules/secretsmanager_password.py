#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: a password that is generated once and lives in AWS Secrets Manager."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: secretsmanager_password
short_description: Generate a password once and keep it in AWS Secrets Manager
description:
  - Creates a secret with a generated password. Later runs keep the password.
  - The password is returned under RV(value). Ansible masks parameters only, so set C(no_log=true)
    on the task.
  - A secret of that name which is scheduled for deletion is restored, with the value that it had.
  - Use M(mlflow_ec2.aws.secretsmanager_password_info) to read a password without ever creating one.
author:
  - MLflow on EC2 contributors
options:
  name:
    description:
      - The name of the secret.
    type: str
    required: true
  state:
    description:
      - Whether the secret exists or is deleted.
    type: str
    choices: ['present', 'absent']
    default: present
  length:
    description:
      - The number of characters of a generated password.
      - An existing password is kept, whatever its length.
    type: int
    default: 32
  punctuation:
    description:
      - Whether a generated password holds punctuation beside letters and digits.
      - The characters C(@), C(/), C("), C('), C(`), C(\) and the space, which RDS and URLs do not
        take, are never used.
    type: bool
    default: false
  exclude_characters:
    description:
      - Characters that a generated password does not hold.
    type: str
    default: ''
  value:
    description:
      - Stores this text instead of a generated password. A secret with another text is changed.
      - RV(value) is not returned then.
    type: str
  initial:
    description:
      - The text of a new secret, instead of a generated one. An existing secret is kept.
      - It is returned under RV(value), so set C(no_log=true) on the task.
    type: str
  format:
    description:
      - What is generated, a password, a key for the Fernet cipher (32 random bytes in URL-safe
        Base64) or an Ed25519 key for SSH without a passphrase, which requires the Python package
        cryptography. O(length), O(punctuation) and O(exclude_characters) are for passwords.
    type: str
    choices: ['password', 'fernet', 'ssh-ed25519']
    default: password
  rotate:
    description:
      - Generates a new password although there is one. Each run with V(true) changes the secret.
      - Secrets Manager keeps the one before it under the stage C(AWSPREVIOUS).
    type: bool
    default: false
  keep_previous:
    description:
      - With O(rotate), writes the new password before those that the secret holds, separated by a
        space, so that what was encrypted under them can be read.
    type: bool
    default: false
  description:
    description:
      - The description of the secret. It stays as it is when this is not set.
    type: str
  kms_key_id:
    description:
      - The id, alias or ARN of the KMS key that encrypts the secret.
      - It stays as it is when this is not set; a new secret takes C(alias/aws/secretsmanager).
    type: str
  recovery_window:
    description:
      - For how many days, 7 to 30, a deleted secret can be restored.
    type: int
    default: 30
  force_delete:
    description:
      - Deletes the secret at once and permanently, also one that is already scheduled for deletion.
    type: bool
    default: false
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Make sure that the database has a master password
  mlflow_ec2.aws.secretsmanager_password:
    name: demo/database-master
    description: Master password of the database
    tags:
      Deployment: demo
  no_log: true
  register: database_master

- name: Replace the token of the metrics endpoint
  mlflow_ec2.aws.secretsmanager_password:
    name: demo/metrics-token
    length: 48
    rotate: true
  no_log: true
  register: metrics_token

- name: Delete a password, to be restored within a week
  mlflow_ec2.aws.secretsmanager_password:
    name: demo/metrics-token
    state: absent
    recovery_window: 7
"""

RETURN = r"""
value:
  description:
    - The current text of the secret.
    - In check mode, for a secret that does not exist yet (or has to be restored first), a
      placeholder of the same length that begins with C(planned).
  returned: when O(state=present) and O(value) is not given
  type: str
  sample: kq0Zr3uYx7aLw5tDg2bNc9sVh4mPe8fJ
secret:
  description: The secret, without its value.
  returned: when the secret exists, or did before it was deleted at once
  type: dict
  contains:
    arn:
      description: The ARN of the secret.
      type: str
      sample: arn:aws:secretsmanager:us-east-1:123456789012:secret:demo/database-master-a1b2c3
    name:
      description: The name of the secret.
      type: str
      sample: demo/database-master
    description:
      description: The description of the secret.
      type: str
      sample: Master password of the database
    kms_key_id:
      description: The KMS key that encrypts the secret.
      type: str
      sample: alias/aws/secretsmanager
    version_id:
      description: The id of the current version.
      type: str
      sample: 5e0fd5a7-5f8a-4b0a-8e3f-0f3c1a2b3c4d
    created_date:
      description: When the secret was created.
      type: str
      sample: '2026-11-22T10:00:00+00:00'
    last_changed_date:
      description: When the secret was changed last.
      type: str
      sample: '2026-11-22T10:00:00+00:00'
    deleted_date:
      description: When the secret was or will be deleted; none for a secret in use.
      type: str
      sample: null
    tags:
      description: The tags of the secret.
      type: dict
      sample: {"Deployment": "demo"}
"""

from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
    compare_aws_tags,
)
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.secretsmanager import (
    character_classes,
    describe_secret,
    generate_fernet_key,
    generate_password,
    generate_ssh_key,
    read_value,
    same_key,
    secret_facts,
)

_DIFF_KEYS = ("description", "kms_key_id", "deleted_date", "tags", "version_id")
_NEW_VERSION = "(a new version)"
_MIN_WINDOW = 7
_MAX_WINDOW = 30
_MIN_LENGTH = 8
_MAX_LENGTH = 4096
# For some seconds, Secrets Manager still refuses a secret that was just restored, and the name of
# one that was just deleted at once.
_RETRY_PATIENTLY = AWSRetry.jittered_backoff(
    retries=8, delay=1, max_delay=15, catch_extra_error_codes=["InvalidRequestException"]
)


def plan_settings(params: dict[str, Any], current: dict[str, Any]) -> dict[str, str]:
    """Return the parameters of UpdateSecret that set description and key as configured."""
    changes: dict[str, str] = {}
    if params["description"] is not None and params["description"] != current.get(
        "Description", ""
    ):
        changes["Description"] = params["description"]
    if params["kms_key_id"] is not None and not same_key(
        params["kms_key_id"], current.get("KmsKeyId")
    ):
        changes["KmsKeyId"] = params["kms_key_id"]
    return changes


def create(client: Any, params: dict[str, Any], text: str) -> None:
    """Create the secret with all that is wanted of it."""
    arguments: dict[str, Any] = {"Name": params["name"], "SecretString": text}
    if params["description"] is not None:
        arguments["Description"] = params["description"]
    if params["kms_key_id"] is not None:
        arguments["KmsKeyId"] = params["kms_key_id"]
    if params["tags"]:
        arguments["Tags"] = ansible_dict_to_boto3_tag_list(params["tags"])
    _RETRY_PATIENTLY(client.create_secret)(**arguments)


class Password:
    """One secret and what its module was asked to make of it."""

    def __init__(self, module: Any) -> None:
        self.params: dict[str, Any] = module.params
        self.check_mode: bool = module.check_mode
        self.name: str = module.params["name"]
        self.client = module.client("secretsmanager", retry_decorator=AWSRetry.jittered_backoff())
        self.current = describe_secret(self.client, self.name)

    def new_text(self) -> str:
        """Return the text that the secret is to get."""
        if self.params["value"] is not None:
            return str(self.params["value"])
        if self.params["format"] == "fernet":
            return generate_fernet_key()
        if self.params["format"] == "ssh-ed25519":
            return generate_ssh_key()
        classes = character_classes(
            punctuation=self.params["punctuation"], exclude=self.params["exclude_characters"]
        )
        return generate_password(self.params["length"], classes)

    def placeholder(self) -> str:
        """Return a text of the same form as a generated one, for check mode."""
        if self.params["format"] == "fernet":
            return f"{'planned':0<43}="
        return "planned".ljust(self.params["length"], "0")

    def present(self) -> dict[str, Any]:
        """Create, restore or update the secret; return the module's result."""
        before = secret_facts(self.current) if self.current else None
        planned = dict(before) if before else self._planned_facts()
        text: str | None = None
        changed = False
        if self.current is None:
            changed = True
            if not self.check_mode:
                text = self.params["initial"] or self.new_text()
                create(self.client, self.params, text)
        else:
            text, changed = self._update(self.current, planned)

        if self.check_mode or not changed:
            after = planned
        else:
            after = secret_facts(describe_secret(self.client, self.name) or {})
        result: dict[str, Any] = {"changed": changed, "secret": after, "diff": _diff(before, after)}
        if self.check_mode and before is None:
            del result["secret"]
        if self.params["value"] is None:
            result["value"] = text or self.placeholder()
        return result

    def _planned_facts(self) -> dict[str, Any]:
        return {
            "description": self.params["description"] or "",
            "kms_key_id": self.params["kms_key_id"] or "alias/aws/secretsmanager",
            "deleted_date": None,
            "tags": self.params["tags"] or {},
            "version_id": _NEW_VERSION,
        }

    def _update(self, current: dict[str, Any], planned: dict[str, Any]) -> tuple[str | None, bool]:
        """Change what differs, note it in `planned`; return the text, and whether any did."""
        changed = False
        read = read_value
        if current.get("DeletedDate"):
            changed = True
            read = _RETRY_PATIENTLY(read_value)
            planned["deleted_date"] = None
            if not self.check_mode:
                self.client.restore_secret(SecretId=self.name, aws_retry=True)

        readable = not (self.check_mode and current.get("DeletedDate"))
        text = read(self.client, self.name) if readable else None
        given = self.params["value"]
        outdated = readable and (text is None or (given is not None and given != text))
        if self.params["rotate"] or outdated:
            changed = True
            planned["version_id"] = _NEW_VERSION
            before = text if self.params["rotate"] and self.params["keep_previous"] else None
            text = None
            if not self.check_mode:
                text = " ".join(filter(None, [self.new_text(), before]))
                self.client.put_secret_value(SecretId=self.name, SecretString=text, aws_retry=True)

        settings = plan_settings(self.params, current)
        if settings:
            changed = True
            planned["description"] = settings.get("Description", planned["description"])
            planned["kms_key_id"] = settings.get("KmsKeyId", planned["kms_key_id"])
            if not self.check_mode:
                self.client.update_secret(SecretId=self.name, aws_retry=True, **settings)

        return text, self._update_tags(current, planned) or changed

    def _update_tags(self, current: dict[str, Any], planned: dict[str, Any]) -> bool:
        wanted = self.params["tags"]
        if wanted is None:
            return False
        tags = boto3_tag_list_to_ansible_dict(current.get("Tags") or [])
        to_set, to_unset = compare_aws_tags(tags, wanted, self.params["purge_tags"])
        kept = {key: value for key, value in tags.items() if key not in to_unset}
        planned["tags"] = {**kept, **to_set}
        if not self.check_mode and to_set:
            self.client.tag_resource(
                SecretId=self.name, Tags=ansible_dict_to_boto3_tag_list(to_set), aws_retry=True
            )
        if not self.check_mode and to_unset:
            self.client.untag_resource(SecretId=self.name, TagKeys=to_unset, aws_retry=True)
        return bool(to_set or to_unset)

    def absent(self) -> dict[str, Any]:
        """Delete the secret, at once or after the recovery window; return the module's result."""
        if self.current is None:
            return {"changed": False}
        before = secret_facts(self.current)
        force = self.params["force_delete"]
        if self.current.get("DeletedDate") and not force:
            return {"changed": False, "secret": before}
        if not self.check_mode:
            window: dict[str, Any] = (
                {"ForceDeleteWithoutRecovery": True}
                if force
                else {"RecoveryWindowInDays": self.params["recovery_window"]}
            )
            self.client.delete_secret(SecretId=self.name, aws_retry=True, **window)
        left = None if force or self.check_mode else describe_secret(self.client, self.name)
        after = secret_facts(left) if left else None
        return {"changed": True, "secret": after or before, "diff": _diff(before, after)}


def _diff(before: dict[str, Any] | None, after: dict[str, Any] | None) -> dict[str, Any]:
    def visible(facts: dict[str, Any] | None) -> dict[str, Any]:
        return {key: facts[key] for key in _DIFF_KEYS} if facts else {}

    return {"before": visible(before), "after": visible(after)}


def check_parameters(params: dict[str, Any]) -> str | None:
    """Return what is wrong with the parameters, and the cure, or None."""
    if not _MIN_LENGTH <= params["length"] <= _MAX_LENGTH:
        return f"length is {params['length']}: give {_MIN_LENGTH} to {_MAX_LENGTH} characters"
    if not _MIN_WINDOW <= params["recovery_window"] <= _MAX_WINDOW:
        return (
            f"recovery_window is {params['recovery_window']}: give {_MIN_WINDOW} to {_MAX_WINDOW} "
            "days, or force_delete: true to delete at once"
        )
    if not character_classes(
        punctuation=params["punctuation"], exclude=params["exclude_characters"]
    ):
        return "exclude_characters leaves no character for the password: exclude fewer"
    if params["value"] == "":
        return "value is empty: give a text, or leave value out to have a password generated"
    return None


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "length": {"type": "int", "default": 32},
            "punctuation": {"type": "bool", "default": False},
            "exclude_characters": {"type": "str", "default": ""},
            "value": {"type": "str", "no_log": True},
            # Masked, it would be masked in the result as well.
            "initial": {"type": "str", "no_log": False},
            "format": {
                "type": "str",
                "choices": ["password", "fernet", "ssh-ed25519"],
                "default": "password",
            },
            "rotate": {"type": "bool", "default": False},
            "keep_previous": {"type": "bool", "default": False},
            "description": {"type": "str"},
            "kms_key_id": {"type": "str"},
            "recovery_window": {"type": "int", "default": 30},
            "force_delete": {"type": "bool", "default": False},
            "tags": {"type": "dict", "aliases": ["resource_tags"]},
            "purge_tags": {"type": "bool", "default": True},
        },
        mutually_exclusive=[("value", "rotate"), ("value", "initial")],
        supports_check_mode=True,
    )
    problem = check_parameters(module.params)
    if problem:
        module.fail_json(msg=problem)
    try:
        password = Password(module)
        result = password.present() if module.params["state"] == "present" else password.absent()
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        name = module.params["name"]
        module.fail_json_aws(error, msg=f"Failed to make secret {name} {module.params['state']}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
