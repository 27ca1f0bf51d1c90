#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: read a password from AWS Secrets Manager without creating it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: secretsmanager_password_info
short_description: Read a password from AWS Secrets Manager, or list those with tags
description:
  - Reads the text of a secret, for instance one that M(mlflow_ec2.aws.secretsmanager_password)
    made.
  - With O(tags), lists secrets instead and reads none of them.
  - Creates and changes nothing. If a secret does not exist, has no text or is scheduled for
    deletion, the module succeeds without RV(value).
  - The password is not a parameter, so Ansible cannot mask it; set C(no_log=true) on the task.
author:
  - MLflow on EC2 contributors
options:
  name:
    description:
      - The name or the ARN of the secret.
    type: str
  tags:
    description:
      - Tags that the secrets to be listed carry, all of them.
    type: dict
  names:
    description:
      - With O(tags), names of secrets that are listed if they exist and carry the tags, although
        ListSecrets might not list them yet.
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

- name: Read the token of the metrics endpoint
  mlflow_ec2.aws.secretsmanager_password_info:
    name: demo/metrics-token
  no_log: true
  register: metrics_token

- name: List the passwords of a deployment
  mlflow_ec2.aws.secretsmanager_password_info:
    tags: {Deployment: demo}
  register: passwords

- name: Stop without a token
  ansible.builtin.assert:
    that: metrics_token.value is defined
    fail_msg: Run playbooks/lambda.yml first.
"""

RETURN = r"""
secrets:
  description: The secrets that carry the tags and are in use, by name, as RV(secret).
  returned: when O(tags) is given
  type: list
  elements: dict
  sample: [{"name": "demo/database-master"}]
value:
  description: The current text of the secret.
  returned: when the secret is in use and has a text
  type: str
  sample: kq0Zr3uYx7aLw5tDg2bNc9sVh4mPe8fJ
secret:
  description:
    - The secret, without its value, as M(mlflow_ec2.aws.secretsmanager_password) returns it.
  returned: when the secret exists
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
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.secretsmanager import (
    describe_secret,
    list_secrets,
    read_value,
    secret_facts,
)


def find(client: Any, name: str) -> dict[str, Any]:
    """Return the module's result for the secret `name`."""
    current = describe_secret(client, name)
    if current is None:
        return {}
    result: dict[str, Any] = {"secret": secret_facts(current)}
    value = None if current.get("DeletedDate") else read_value(client, name)
    return result if value is None else {**result, "value": value}


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str"},
            "tags": {"type": "dict"},
            "names": {"type": "list", "elements": "str", "default": []},
        },
        required_one_of=[["name", "tags"]],
        mutually_exclusive=[["name", "tags"]],
        supports_check_mode=True,
    )
    name, tags = module.params["name"], module.params["tags"]
    try:
        client = module.client("secretsmanager", retry_decorator=AWSRetry.jittered_backoff())
        result = (
            find(client, name)
            if name
            else {"secrets": list_secrets(client, tags, module.params["names"])}
        )
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to read secret {name or tags}")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
