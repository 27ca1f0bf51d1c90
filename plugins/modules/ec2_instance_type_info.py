#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: read what a type of EC2 instances has."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ec2_instance_type_info
short_description: Read what a type of EC2 instances has
description:
  - Reads memory, processors and architectures of a type of instances, and whether the region
    has it.
author:
  - MLflow on EC2 contributors
options:
  name:
    description:
      - The type, such as V(t3.medium).
    type: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Ask how much memory the host would have
  ec2_instance_type_info:
    name: t3.medium
  register: instance_type
"""

RETURN = r"""
instance_type:
  description: What it has; V(null) if the region has no such type.
  returned: always
  type: dict
  contains:
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
"""

from contextlib import suppress

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={"name": {"type": "str", "required": True}}, supports_check_mode=True
    )
    name = module.params["name"]
    try:
        [found] = module.client("ec2").describe_instance_types(InstanceTypes=[name])[
            "InstanceTypes"
        ]
    except is_boto3_error_code("InvalidInstanceType"):
        module.exit_json(changed=False, instance_type=None)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to read instance type {name}")
    module.exit_json(
        changed=False,
        instance_type={
            "memory_mib": found["MemoryInfo"]["SizeInMiB"],
            "vcpus": found["VCpuInfo"]["DefaultVCpus"],
            "architectures": found["ProcessorInfo"]["SupportedArchitectures"],
        },
    )


if __name__ == "__main__":
    main()
