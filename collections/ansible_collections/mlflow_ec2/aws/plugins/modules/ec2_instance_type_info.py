#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: read what types of EC2 instances have."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ec2_instance_type_info
short_description: Read what types of EC2 instances have
description:
  - Reads memory, processors and architectures of a type of instances, and whether the region
    has it; or those of all types that filters choose.
author:
  - MLflow on EC2 contributors
options:
  name:
    description:
      - The type, such as V(t3.medium).
    type: str
  filters:
    description:
      - Filters of EC2's DescribeInstanceTypes, such as C(free-tier-eligible).
      - One of O(name) and O(filters) is required.
    type: dict
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Ask how much memory the host would have
  mlflow_ec2.aws.ec2_instance_type_info:
    name: t3.medium
  register: instance_type

- name: List the types that the free plan allows
  mlflow_ec2.aws.ec2_instance_type_info:
    filters: {free-tier-eligible: "true"}
  register: eligible
"""

RETURN = r"""
instance_type:
  description: What it has; V(null) if the region has no such type.
  returned: when O(name) is given
  type: dict
  contains: &contains
    name:
      description: Name of the type.
      type: str
      sample: t3.medium
    free_tier_eligible:
      description: Whether an account on the free plan may have instances of this type.
      type: bool
      sample: false
    memory_mib:
      description: Memory, in MiB.
      type: int
      sample: 4096
    vcpus:
      description: Number of virtual processors.
      type: int
      sample: 2
    architectures:
      description: Architectures of the images that it starts.
      type: list
      elements: str
      sample: [x86_64]
instance_types:
  description: What each type has that fits the filters, the smallest memory first.
  returned: when O(filters) is given
  type: list
  elements: dict
  contains: *contains
"""

from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.transformation import (
    ansible_dict_to_boto3_filter_list,
)


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={"name": {"type": "str"}, "filters": {"type": "dict"}},
        supports_check_mode=True,
        required_one_of=[["name", "filters"]],
        mutually_exclusive=[["name", "filters"]],
    )
    name, filters = module.params["name"], module.params["filters"]
    try:
        pages = list(
            module.client("ec2")
            .get_paginator("describe_instance_types")
            .paginate(
                **(
                    {"InstanceTypes": [name]}
                    if name
                    else {"Filters": ansible_dict_to_boto3_filter_list(filters)}
                )
            )
        )
    except is_boto3_error_code("InvalidInstanceType"):
        module.exit_json(changed=False, instance_type=None)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to read instance type {name or filters}")
    found = [facts(kind) for page in pages for kind in page["InstanceTypes"]]
    if name:
        module.exit_json(changed=False, instance_type=found[0])
    found.sort(key=lambda kind: (kind["memory_mib"], kind["name"]))
    module.exit_json(changed=False, instance_types=found)


def facts(kind: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of an instance type."""
    return {
        "name": kind["InstanceType"],
        "free_tier_eligible": kind.get("FreeTierEligible", False),
        "memory_mib": kind["MemoryInfo"]["SizeInMiB"],
        "vcpus": kind["VCpuInfo"]["DefaultVCpus"],
        "architectures": kind["ProcessorInfo"]["SupportedArchitectures"],
    }


if __name__ == "__main__":
    main()
