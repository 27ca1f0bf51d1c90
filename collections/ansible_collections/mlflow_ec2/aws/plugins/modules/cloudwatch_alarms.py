#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: the alarms of one deployment in CloudWatch."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cloudwatch_alarms
short_description: Manage a set of metric alarms in CloudWatch
description:
  - Manages all metric alarms whose names begin with O(prefix) and that carry O(search_tags), as one
    set. Alarms of the set that O(alarms) does not list are deleted.
  - Unlike M(amazon.aws.cloudwatch_metric_alarm), the module gives alarms tags and shows what
    differs.
author:
  - MLflow on EC2 contributors
options:
  prefix:
    description:
      - What the names of all alarms of the set begin with.
    type: str
    required: true
  search_tags:
    description:
      - Only alarms that carry all these tags belong to the set. Put them into O(tags) as well.
    type: dict
    required: true
  state:
    description:
      - Whether the set exists or is deleted.
    type: str
    choices: ['present', 'absent']
    default: present
  alarms:
    description:
      - The alarms. Required with O(state=present).
    type: list
    elements: dict
    suboptions:
      name:
        description: The name of the alarm, without O(prefix).
        type: str
        required: true
      description:
        description: What the alarm means.
        type: str
        default: ''
      namespace:
        description: The namespace of the metric, such as V(AWS/RDS).
        type: str
        required: true
      metric_name:
        description: The name of the metric.
        type: str
        required: true
      dimensions:
        description: The dimensions of the metric.
        type: dict
        required: true
      statistic:
        description: What is compared with the threshold.
        type: str
        choices: ['Average', 'Maximum', 'Minimum', 'SampleCount', 'Sum']
        required: true
      comparison:
        description: How it is compared.
        type: str
        choices:
          - GreaterThanOrEqualToThreshold
          - GreaterThanThreshold
          - LessThanOrEqualToThreshold
          - LessThanThreshold
        required: true
      threshold:
        description: The threshold, in the unit of the metric.
        type: float
        required: true
      period:
        description: Seconds of one period, 60 or a multiple of it.
        type: int
        default: 300
      evaluation_periods:
        description: In how many periods, one after the other, the threshold has to be passed.
        type: int
        default: 1
      treat_missing_data:
        description: What a period without data counts as.
        type: str
        choices: ['breaching', 'notBreaching', 'ignore', 'missing']
        required: true
  actions:
    description:
      - ARNs of what is notified when an alarm goes off, and when it ends.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Watch the storage of the database
  mlflow_ec2.aws.cloudwatch_alarms:
    prefix: demo-mlflow-
    search_tags: {Deployment: demo}
    tags: {Deployment: demo}
    actions: [arn:aws:sns:us-east-1:123456789012:demo-mlflow-alarms]
    alarms:
      - name: database-storage
        namespace: AWS/RDS
        metric_name: FreeStorageSpace
        dimensions: {DBInstanceIdentifier: demo-mlflow}
        statistic: Average
        comparison: LessThanThreshold
        threshold: 1073741824
        treat_missing_data: missing
"""

RETURN = r"""
names:
  description: The names of the alarms of the set, sorted.
  returned: always
  type: list
  elements: str
  sample: [demo-mlflow-database-storage]
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
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.tags import wanted_tags

Alarm = dict[str, Any]

# The settings by their names in the module and in the API.
_API_NAMES = {
    "description": "AlarmDescription",
    "namespace": "Namespace",
    "metric_name": "MetricName",
    "statistic": "Statistic",
    "comparison": "ComparisonOperator",
    "threshold": "Threshold",
    "period": "Period",
    "evaluation_periods": "EvaluationPeriods",
    "treat_missing_data": "TreatMissingData",
}
# The API deletes at most so many alarms in one call.
_DELETED_AT_ONCE = 100
_SHORTEST_PERIOD = 60


def settings_of(found: dict[str, Any]) -> Alarm:
    """Return the settings of an alarm that the API describes.

    What this module never sets is part of them where it is set, so that it counts as a difference.
    """
    settings: Alarm = {name: found.get(api) for name, api in _API_NAMES.items()}
    settings["description"] = settings["description"] or ""
    settings["dimensions"] = {one["Name"]: one["Value"] for one in found.get("Dimensions") or []}
    settings["actions"] = sorted(found.get("AlarmActions") or [])
    settings["ok_actions"] = sorted(found.get("OKActions") or [])
    settings["enabled"] = found.get("ActionsEnabled", True)
    for name, api in (("datapoints_to_alarm", "DatapointsToAlarm"), ("unit", "Unit")):
        if found.get(api) is not None:
            settings[name] = found[api]
    return settings


def wanted_settings(alarm: Alarm, actions: list[str]) -> Alarm:
    """Return the settings that an alarm of the parameters is to have."""
    settings = {name: alarm[name] for name in _API_NAMES}
    settings["dimensions"] = dict(alarm["dimensions"])
    settings["actions"] = settings["ok_actions"] = sorted(actions)
    settings["enabled"] = True
    return settings


def arguments_of(name: str, settings: Alarm) -> dict[str, Any]:
    """Return the parameters of PutMetricAlarm."""
    return {
        "AlarmName": name,
        "Dimensions": [
            {"Name": key, "Value": str(value)}
            for key, value in sorted(settings["dimensions"].items())
        ],
        "AlarmActions": settings["actions"],
        "OKActions": settings["ok_actions"],
        "ActionsEnabled": settings["enabled"],
        **{api: settings[name] for name, api in _API_NAMES.items()},
    }


class AlarmSet:
    """The alarms of a set, as they are and as they are to be."""

    def __init__(self, module: Any) -> None:
        self.params: dict[str, Any] = module.params
        self.check_mode: bool = module.check_mode
        self.client = module.client("cloudwatch", retry_decorator=AWSRetry.jittered_backoff())
        self.arns: dict[str, str] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.before = self._read()

    def _read(self) -> dict[str, Alarm]:
        """Read the alarms of the set, with their ARNs and tags."""
        found: dict[str, Alarm] = {}
        paginator = self.client.get_paginator("describe_alarms")
        for page in paginator.paginate(
            AlarmNamePrefix=self.params["prefix"], AlarmTypes=["MetricAlarm"]
        ):
            for alarm in page["MetricAlarms"]:
                name, arn = alarm["AlarmName"], alarm["AlarmArn"]
                tags = boto3_tag_list_to_ansible_dict(
                    self.client.list_tags_for_resource(ResourceARN=arn, aws_retry=True)["Tags"]
                )
                if self.params["search_tags"].items() <= tags.items():
                    self.arns[name], self.tags[name] = arn, tags
                    found[name] = settings_of(alarm)
        return found

    def apply(self) -> dict[str, Any]:
        """Make the set what the parameters say; return the module's result."""
        wanted = {
            self.params["prefix"] + alarm["name"]: wanted_settings(alarm, self.params["actions"])
            for alarm in self.params["alarms"]
        }
        new_tags = {name: self._tags_of(name) for name in wanted}
        to_put = [name for name in wanted if self.before.get(name) != wanted[name]]
        to_delete = sorted(self.before.keys() - wanted.keys())
        to_tag = [
            name for name in wanted if name in self.tags and new_tags[name] != self.tags[name]
        ]
        if not self.check_mode:
            for name in to_put:
                # An alarm that exists keeps its tags, whatever is given here.
                self.client.put_metric_alarm(
                    **arguments_of(name, wanted[name]),
                    Tags=ansible_dict_to_boto3_tag_list(new_tags[name]),
                    aws_retry=True,
                )
            for name in to_tag:
                self._tag(name)
            for first in range(0, len(to_delete), _DELETED_AT_ONCE):
                self.client.delete_alarms(
                    AlarmNames=to_delete[first : first + _DELETED_AT_ONCE], aws_retry=True
                )
        return {
            "changed": bool(to_put or to_delete or to_tag),
            "names": sorted(wanted),
            "diff": {
                "before": {
                    name: self.before[name] | {"tags": self.tags[name]} for name in self.before
                },
                "after": {name: wanted[name] | {"tags": new_tags[name]} for name in wanted},
            },
        }

    def _tags_of(self, name: str) -> dict[str, str]:
        """Return the tags that an alarm is to have."""
        return wanted_tags(
            self.tags.get(name, {}), self.params["tags"], purge=self.params["purge_tags"]
        )

    def _tag(self, name: str) -> None:
        to_set, to_unset = compare_aws_tags(self.tags[name], self._tags_of(name), True)
        if to_set:
            self.client.tag_resource(
                ResourceARN=self.arns[name],
                Tags=ansible_dict_to_boto3_tag_list(to_set),
                aws_retry=True,
            )
        if to_unset:
            self.client.untag_resource(
                ResourceARN=self.arns[name], TagKeys=to_unset, aws_retry=True
            )


def check_parameters(params: dict[str, Any]) -> str | None:
    """Return what is wrong with the parameters, and the cure, or None."""
    names = [alarm["name"] for alarm in params["alarms"]]
    for alarm in params["alarms"]:
        name, period = alarm["name"], alarm["period"]
        if names.count(name) > 1:
            return f"alarms: {name!r} is not a valid name: it is listed twice. Keep one."
        if period < _SHORTEST_PERIOD or period % _SHORTEST_PERIOD:
            return (
                f"period: {period} is not a valid period of {name!r}: it must be 60 seconds or a "
                "multiple of it. Set it to 300."
            )
    return None


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "prefix": {"type": "str", "required": True},
            "search_tags": {"type": "dict", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "alarms": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "name": {"type": "str", "required": True},
                    "description": {"type": "str", "default": ""},
                    "namespace": {"type": "str", "required": True},
                    "metric_name": {"type": "str", "required": True},
                    "dimensions": {"type": "dict", "required": True},
                    "statistic": {
                        "type": "str",
                        "choices": ["Average", "Maximum", "Minimum", "SampleCount", "Sum"],
                        "required": True,
                    },
                    "comparison": {
                        "type": "str",
                        "choices": [
                            "GreaterThanOrEqualToThreshold",
                            "GreaterThanThreshold",
                            "LessThanOrEqualToThreshold",
                            "LessThanThreshold",
                        ],
                        "required": True,
                    },
                    "threshold": {"type": "float", "required": True},
                    "period": {"type": "int", "default": 300},
                    "evaluation_periods": {"type": "int", "default": 1},
                    "treat_missing_data": {
                        "type": "str",
                        "choices": ["breaching", "notBreaching", "ignore", "missing"],
                        "required": True,
                    },
                },
            },
            "actions": {"type": "list", "elements": "str", "default": []},
            "tags": {"type": "dict", "aliases": ["resource_tags"]},
            "purge_tags": {"type": "bool", "default": True},
        },
        required_if=[("state", "present", ("alarms",))],
        supports_check_mode=True,
    )
    if module.params["state"] == "absent":
        module.params["alarms"] = []
    problem = check_parameters(module.params)
    if problem:
        module.fail_json(msg=problem)
    try:
        result = AlarmSet(module).apply()
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to manage the alarms {module.params['prefix']}*")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
