#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: read a quota of the account."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_quota_info
short_description: Read a quota of the account
description:
  - Reads how many of something the account may have in the region, from Service Quotas.
author:
  - MLflow on EC2 contributors
options:
  service:
    description:
      - The code of the service, such as V(vpc).
    type: str
    required: true
  code:
    description:
      - The code of the quota, such as V(L-F678F1CE) for VPCs per region.
    type: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Ask how many VPCs the account may have
  mlflow_ec2.aws.service_quota_info:
    service: vpc
    code: L-F678F1CE
  register: quota
"""

RETURN = r"""
value:
  description: The quota; V(null) if the account is not allowed to ask for it, or if AWS has none.
  returned: always
  type: float
  sample: 5.0
"""

from contextlib import suppress

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

# Lab accounts refuse the question. The play continues without an answer.
UNKNOWN = ("AccessDenied", "AccessDeniedException", "NoSuchResourceException")


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "service": {"type": "str", "required": True},
            "code": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    service, code = module.params["service"], module.params["code"]
    try:
        quota = module.client("service-quotas").get_service_quota(
            ServiceCode=service, QuotaCode=code
        )["Quota"]
    except is_boto3_error_code(UNKNOWN):
        quota = {}
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to read quota {code} of {service}")
    module.exit_json(changed=False, value=quota.get("Value"))


if __name__ == "__main__":
    main()
