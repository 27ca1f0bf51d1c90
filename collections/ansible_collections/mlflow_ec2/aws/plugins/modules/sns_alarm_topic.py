#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: a topic of SNS with its policy, key, subscriptions and tags."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: sns_alarm_topic
short_description: Manage a topic of SNS, its encryption and its subscriptions
description:
  - Manages a standard topic of Amazon SNS with its access policy, its KMS key, its subscriptions
    and its tags.
  - Unlike C(community.aws.sns_topic), the module sets the key and shows what differs.
  - SNS sends a request for confirmation to each new subscriber. A subscription that nobody
    confirms ends after some days; the module subscribes the endpoint again then.
author:
  - MLflow on EC2 contributors
options:
  name:
    description:
      - The name of the topic.
    type: str
    required: true
  state:
    description:
      - Whether the topic exists or is deleted, together with its subscriptions.
    type: str
    choices: ['present', 'absent']
    default: present
  policy:
    description:
      - The access policy of the topic. C(TOPIC_ARN) in it is replaced by the ARN of the topic.
    type: json
  kms_key:
    description:
      - The id, ARN or alias of the KMS key with which SNS encrypts messages beside the encryption
        of its disks. Empty for none.
    type: str
    default: ''
  subscriptions:
    description:
      - All subscriptions of the topic. Others are removed, except those that wait for their
        confirmation, which SNS cannot remove.
    type: list
    elements: dict
    default: []
    suboptions:
      protocol:
        description: How messages are delivered.
        type: str
        choices: ['email', 'https']
        required: true
      endpoint:
        description: The e-mail address or the URL.
        type: str
        required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Notify the team
  mlflow_ec2.aws.sns_alarm_topic:
    name: demo-mlflow-alarms
    subscriptions:
      - {protocol: email, endpoint: team@example.org}
    policy:
      Version: "2012-10-17"
      Statement:
        - Effect: Allow
          Principal: {Service: cloudwatch.amazonaws.com}
          Action: sns:Publish
          Resource: TOPIC_ARN
          Condition: {StringEquals: {"aws:SourceAccount": "123456789012"}}
    tags: {Deployment: demo}
"""

RETURN = r"""
topic_arn:
  description: The ARN of the topic, also of one that is planned or was deleted.
  returned: always
  type: str
  sample: arn:aws:sns:us-east-1:123456789012:demo-mlflow-alarms
pending:
  description: Subscriptions that wait for their confirmation, as protocol and endpoint.
  returned: when O(state=present)
  type: list
  elements: str
  sample: ['email team@example.org']
"""

import json
from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.iam import get_aws_account_info
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.tags import wanted_tags

_PENDING = "PendingConfirmation"
_NOT_FOUND = ("NotFound", "NotFoundException", "ResourceNotFound", "ResourceNotFoundException")


class Topic:
    """One topic and what its module was asked to make of it."""

    def __init__(self, module: Any) -> None:
        self.params: dict[str, Any] = module.params
        self.check_mode: bool = module.check_mode
        self.client = module.client("sns", retry_decorator=AWSRetry.jittered_backoff())
        account, partition = get_aws_account_info(module)
        region = self.client.meta.region_name
        self.arn = f"arn:{partition}:sns:{region}:{account}:{self.params['name']}"
        self.subscriptions: dict[str, str] = {}
        self.before = self._read()

    def _read(self) -> dict[str, Any] | None:
        """Return the settings of the topic; None if there is none."""
        try:
            attributes = self.client.get_topic_attributes(TopicArn=self.arn, aws_retry=True)
        except is_boto3_error_code(_NOT_FOUND):
            return None
        paginator = self.client.get_paginator("list_subscriptions_by_topic")
        for page in paginator.paginate(TopicArn=self.arn):
            for one in page["Subscriptions"]:
                self.subscriptions[f"{one['Protocol']} {one['Endpoint']}"] = one["SubscriptionArn"]
        tags = self.client.list_tags_for_resource(ResourceArn=self.arn, aws_retry=True)["Tags"]
        found = attributes["Attributes"]
        return {
            "policy": json.loads(found.get("Policy") or "{}"),
            "kms_key": found.get("KmsMasterKeyId", ""),
            "subscriptions": sorted(self.subscriptions),
            "tags": boto3_tag_list_to_ansible_dict(tags),
        }

    def _wanted(self, current: dict[str, Any]) -> dict[str, Any]:
        """Return the settings that the topic is to have."""
        wanted = dict(current)
        if self.params["policy"] is not None:
            policy = json.loads(self.params["policy"].replace("TOPIC_ARN", self.arn))
            if compare_policies(current["policy"], policy):
                wanted["policy"] = policy
        wanted["kms_key"] = self.params["kms_key"]
        asked = {f"{one['protocol']} {one['endpoint']}" for one in self.params["subscriptions"]}
        pending = {name for name, arn in self.subscriptions.items() if not arn.startswith("arn:")}
        wanted["subscriptions"] = sorted(asked | pending)
        wanted["tags"] = wanted_tags(
            current["tags"], self.params["tags"], purge=self.params["purge_tags"]
        )
        return wanted

    def present(self) -> dict[str, Any]:
        """Create or update the topic; return the module's result."""
        new = {"policy": {}, "kms_key": "", "subscriptions": [], "tags": {}}
        current = self.before or new
        wanted = self._wanted(current)
        if not self.check_mode:
            if self.before is None:
                self.client.create_topic(
                    Name=self.params["name"],
                    Tags=ansible_dict_to_boto3_tag_list(wanted["tags"]),
                    Attributes={
                        name: value
                        for name, value in (
                            ("Policy", json.dumps(wanted["policy"]) if wanted["policy"] else ""),
                            ("KmsMasterKeyId", wanted["kms_key"]),
                        )
                        if value
                    },
                    aws_retry=True,
                )
            else:
                self._update(self.before, wanted)
            self._subscribe(wanted["subscriptions"])
        pending = [name for name, arn in self.subscriptions.items() if arn == _PENDING]
        return {
            "changed": self.before is None or wanted != self.before,
            "topic_arn": self.arn,
            "pending": sorted(pending),
            "diff": {"before": self.before or {}, "after": wanted},
        }

    def _update(self, before: dict[str, Any], wanted: dict[str, Any]) -> None:
        for name, value, changed in (
            ("Policy", json.dumps(wanted["policy"]), wanted["policy"] != before["policy"]),
            ("KmsMasterKeyId", wanted["kms_key"], wanted["kms_key"] != before["kms_key"]),
        ):
            if changed:
                self.client.set_topic_attributes(
                    TopicArn=self.arn, AttributeName=name, AttributeValue=value, aws_retry=True
                )
        to_unset = sorted(before["tags"].keys() - wanted["tags"].keys())
        if to_unset:
            self.client.untag_resource(ResourceArn=self.arn, TagKeys=to_unset, aws_retry=True)
        to_set = dict(wanted["tags"].items() - before["tags"].items())
        if to_set:
            self.client.tag_resource(
                ResourceArn=self.arn, Tags=ansible_dict_to_boto3_tag_list(to_set), aws_retry=True
            )

    def _subscribe(self, wanted: list[str]) -> None:
        """Add and remove subscriptions."""
        for name in sorted(set(wanted) - self.subscriptions.keys()):
            protocol, _, endpoint = name.partition(" ")
            answer = self.client.subscribe(
                TopicArn=self.arn, Protocol=protocol, Endpoint=endpoint, aws_retry=True
            )
            arn = answer["SubscriptionArn"]
            self.subscriptions[name] = arn if arn.startswith("arn:") else _PENDING
        for name in sorted(self.subscriptions.keys() - set(wanted)):
            self.client.unsubscribe(SubscriptionArn=self.subscriptions.pop(name), aws_retry=True)

    def absent(self) -> dict[str, Any]:
        """Delete the topic; return the module's result."""
        if self.before is not None and not self.check_mode:
            self.client.delete_topic(TopicArn=self.arn, aws_retry=True)
        return {
            "changed": self.before is not None,
            "topic_arn": self.arn,
            "diff": {"before": self.before or {}, "after": {}},
        }


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "policy": {"type": "json"},
            "kms_key": {"type": "str", "default": "", "no_log": False},
            "subscriptions": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "protocol": {"type": "str", "choices": ["email", "https"], "required": True},
                    "endpoint": {"type": "str", "required": True},
                },
            },
            "tags": {"type": "dict", "aliases": ["resource_tags"]},
            "purge_tags": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    state = module.params["state"]
    try:
        topic = Topic(module)
        result = topic.present() if state == "present" else topic.absent()
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to make topic {module.params['name']} {state}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
