#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: find out whether the caller may create a network."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ec2_vpc_permission_info
short_description: Find out whether the caller may create a network
description:
  - Asks EC2 for a dry run of CreateVpc, which creates nothing. Service control policies of an
    organisation often deny changes in a region, and allow to read.
author:
  - MLflow on EC2 contributors
options:
  cidr_block:
    description:
      - The range that the network would have.
    type: str
    required: true
  tags:
    description:
      - The tags that the network would have; policies may require them.
    type: dict
    default: {}
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Ask whether a network may be created
  mlflow_ec2.aws.ec2_vpc_permission_info:
    cidr_block: 10.0.0.0/16
    tags: {Deployment: demo}
  register: permission
"""

RETURN = r"""
refusal:
  description:
    - Why the caller lacks the permission; V(null) if nothing speaks against it.
  returned: always
  type: str
  sample: You are not authorized to perform this operation.
"""

from contextlib import suppress

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.tagging import boto3_tag_specifications


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "cidr_block": {"type": "str", "required": True},
            "tags": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    arguments = {}
    if module.params["tags"]:
        arguments["TagSpecifications"] = boto3_tag_specifications(module.params["tags"], "vpc")
    refusal = None
    try:
        module.client("ec2").create_vpc(
            CidrBlock=module.params["cidr_block"], DryRun=True, **arguments
        )
    except is_boto3_error_code("UnauthorizedOperation") as error:
        refusal = error.response["Error"]["Message"]
    except botocore.exceptions.ClientError:
        # DryRunOperation, or a quota: other checks are for that.
        pass
    except botocore.exceptions.BotoCoreError as error:
        module.fail_json_aws(error, msg="Failed to ask whether a network may be created")
    module.exit_json(changed=False, refusal=refusal)


if __name__ == "__main__":
    main()
