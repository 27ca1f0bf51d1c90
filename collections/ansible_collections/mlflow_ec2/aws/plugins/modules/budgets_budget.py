#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: one monthly cost budget of AWS Budgets."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: budgets_budget
short_description: Manage a monthly cost budget of AWS Budgets
description:
  - Manages one budget of the costs of a month, its notifications and its tags.
  - AWS Budgets applies a filter by tags only to tags that are activated as cost allocation tags in
    the account that pays.
author:
  - MLflow on EC2 contributors
options:
  name:
    description:
      - The name of the budget, unique in the account.
    type: str
    required: true
  state:
    description:
      - Whether the budget exists or is deleted, together with its notifications.
    type: str
    choices: ['present', 'absent']
    default: present
  amount:
    description:
      - The costs of a month in US dollars. Required with O(state=present).
    type: float
  filter_tags:
    description:
      - Only costs of resources with these tags count; empty for all costs of the account.
    type: dict
    default: {}
  notifications:
    description:
      - All notifications of the budget. Others are removed.
    type: list
    elements: dict
    default: []
    suboptions:
      type:
        description: Whether the costs so far or the forecast for the whole month are compared.
        type: str
        choices: ['ACTUAL', 'FORECASTED']
        required: true
      percent:
        description: The share of O(amount) above which the notification is sent.
        type: float
        required: true
      topic_arn:
        description: The topic of SNS that is notified.
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

- name: Notify when the month becomes too expensive
  mlflow_ec2.aws.budgets_budget:
    name: demo-us-east-1
    amount: 80
    filter_tags: {Deployment: demo}
    notifications:
      - type: FORECASTED
        percent: 100
        topic_arn: arn:aws:sns:us-east-1:123456789012:demo-mlflow-alarms
    tags: {Deployment: demo}
"""

RETURN = r"""
budget:
  description: The settings of the budget; in check mode as they would be.
  returned: when O(state=present)
  type: dict
  contains:
    amount:
      description: The costs of a month in US dollars.
      type: float
      sample: 80.0
    filter_tags:
      description: The tags whose costs count, as C(user:<tag>$<value>).
      type: list
      elements: str
      sample: ['user:Deployment$demo']
    notifications:
      description: The notifications, each with its subscribers.
      type: dict
      sample: {'FORECASTED 100': ['SNS arn:aws:sns:us-east-1:123456789012:demo-mlflow-alarms']}
    tags:
      description: The tags of the budget.
      type: dict
      sample: {"Deployment": "demo"}
"""

from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.iam import get_aws_account_info
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.tags import wanted_tags

_NEW: dict[str, Any] = {"amount": None, "filter_tags": [], "notifications": {}, "tags": {}}
_ABOVE = "GREATER_THAN"


def notification(name: str) -> dict[str, Any]:
    """Return a notification as the API has it, from its name such as ``ACTUAL 80``."""
    kind, _, percent = name.partition(" ")
    return {
        "NotificationType": kind,
        "ComparisonOperator": _ABOVE,
        "Threshold": float(percent),
        "ThresholdType": "PERCENTAGE",
    }


def subscribers(names: list[str]) -> list[dict[str, str]]:
    """Return subscribers as the API has them."""
    return [
        {"SubscriptionType": kind, "Address": address}
        for kind, _, address in (name.partition(" ") for name in names)
    ]


class Budget:
    """One budget and what its module was asked to make of it."""

    def __init__(self, module: Any) -> None:
        self.params: dict[str, Any] = module.params
        self.check_mode: bool = module.check_mode
        self.client = module.client("budgets", retry_decorator=AWSRetry.jittered_backoff())
        account, partition = get_aws_account_info(module)
        self.arn = f"arn:{partition}:budgets::{account}:budget/{self.params['name']}"
        self.names = {"AccountId": account, "BudgetName": self.params["name"]}
        # Of other forms than this module writes.
        self.foreign: list[dict[str, Any]] = []
        self.before = self._read()

    def _read(self) -> dict[str, Any] | None:
        """Return the settings of the budget; None if there is none."""
        try:
            found = self.client.describe_budget(**self.names, aws_retry=True)["Budget"]
        except is_boto3_error_code("NotFoundException"):
            return None
        tags = self.client.list_tags_for_resource(ResourceARN=self.arn, aws_retry=True)
        return {
            "amount": float(found["BudgetLimit"]["Amount"]),
            "filter_tags": sorted((found.get("CostFilters") or {}).get("TagKeyValue", [])),
            "notifications": self._read_notifications(),
            "tags": boto3_tag_list_to_ansible_dict(tags.get("ResourceTags") or []),
        }

    def _read_notifications(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        pages = self.client.get_paginator("describe_notifications_for_budget")
        for page in pages.paginate(**self.names):
            for one in page["Notifications"]:
                name = f"{one['NotificationType']} {one['Threshold']:g}"
                if notification(name).items() <= ({"ThresholdType": "PERCENTAGE"} | one).items():
                    found[name] = self._read_subscribers(name)
                else:
                    one.pop("NotificationState", None)
                    self.foreign.append(one)
        return found

    def _read_subscribers(self, name: str) -> list[str]:
        pages = self.client.get_paginator("describe_subscribers_for_notification")
        return sorted(
            f"{one['SubscriptionType']} {one['Address']}"
            for page in pages.paginate(**self.names, Notification=notification(name))
            for one in page["Subscribers"]
        )

    def _wanted(self, current: dict[str, Any]) -> dict[str, Any]:
        """Return the settings that the budget is to have."""
        return {
            "amount": self.params["amount"],
            "filter_tags": sorted(
                f"user:{key}${value}" for key, value in self.params["filter_tags"].items()
            ),
            "notifications": {
                f"{one['type']} {one['percent']:g}": [f"SNS {one['topic_arn']}"]
                for one in self.params["notifications"]
            },
            "tags": wanted_tags(
                current["tags"], self.params["tags"], purge=self.params["purge_tags"]
            ),
        }

    def present(self) -> dict[str, Any]:
        """Create or update the budget; return the module's result."""
        wanted = self._wanted(self.before or _NEW)
        changed = wanted != self.before or bool(self.foreign)
        if changed and not self.check_mode:
            if self.before is None:
                self._create(wanted)
            else:
                self._update(self.before, wanted)
        return {
            "changed": changed,
            "budget": wanted,
            "diff": {"before": self.before or {}, "after": wanted},
        }

    def _budget(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Return the budget as the API has it."""
        filters = {"TagKeyValue": wanted["filter_tags"]} if wanted["filter_tags"] else {}
        return {
            "BudgetName": self.params["name"],
            "BudgetType": "COST",
            "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": f"{wanted['amount']:g}", "Unit": "USD"},
            "CostFilters": filters,
        }

    def _create(self, wanted: dict[str, Any]) -> None:
        self.client.create_budget(
            AccountId=self.names["AccountId"],
            Budget=self._budget(wanted),
            NotificationsWithSubscribers=[
                {"Notification": notification(name), "Subscribers": subscribers(receivers)}
                for name, receivers in wanted["notifications"].items()
            ],
            ResourceTags=ansible_dict_to_boto3_tag_list(wanted["tags"]),
            aws_retry=True,
        )

    def _update(self, before: dict[str, Any], wanted: dict[str, Any]) -> None:
        if any(before[key] != wanted[key] for key in ("amount", "filter_tags")):
            self.client.update_budget(
                AccountId=self.names["AccountId"], NewBudget=self._budget(wanted), aws_retry=True
            )
        was, will = before["notifications"], wanted["notifications"]
        old = [notification(name) for name in was if was[name] != will.get(name)]
        for one in (*old, *self.foreign):
            self.client.delete_notification(**self.names, Notification=one, aws_retry=True)
        for name in will:
            if was.get(name) != will[name]:
                self.client.create_notification(
                    **self.names,
                    Notification=notification(name),
                    Subscribers=subscribers(will[name]),
                    aws_retry=True,
                )
        to_unset = sorted(before["tags"].keys() - wanted["tags"].keys())
        if to_unset:
            self.client.untag_resource(
                ResourceARN=self.arn, ResourceTagKeys=to_unset, aws_retry=True
            )
        to_set = dict(wanted["tags"].items() - before["tags"].items())
        if to_set:
            self.client.tag_resource(
                ResourceARN=self.arn,
                ResourceTags=ansible_dict_to_boto3_tag_list(to_set),
                aws_retry=True,
            )

    def absent(self) -> dict[str, Any]:
        """Delete the budget; return the module's result."""
        if self.before is not None and not self.check_mode:
            self.client.delete_budget(**self.names, aws_retry=True)
        return {
            "changed": self.before is not None,
            "diff": {"before": self.before or {}, "after": {}},
        }


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "amount": {"type": "float"},
            "filter_tags": {"type": "dict", "default": {}},
            "notifications": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "type": {
                        "type": "str",
                        "choices": ["ACTUAL", "FORECASTED"],
                        "required": True,
                    },
                    "percent": {"type": "float", "required": True},
                    "topic_arn": {"type": "str", "required": True},
                },
            },
            "tags": {"type": "dict", "aliases": ["resource_tags"]},
            "purge_tags": {"type": "bool", "default": True},
        },
        required_if=[("state", "present", ("amount",))],
        supports_check_mode=True,
    )
    state = module.params["state"]
    try:
        budget = Budget(module)
        result = budget.present() if state == "present" else budget.absent()
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to make budget {module.params['name']} {state}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
