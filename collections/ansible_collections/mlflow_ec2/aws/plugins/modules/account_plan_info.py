#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: read on which plan the account is."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: account_plan_info
short_description: Read on which plan the account is
description:
  - Reads the plan of an account that was opened in July 2025 or later. On the free plan AWS
    refuses most types of instances, and automatic backups of more than a day.
  - Asks the Free Tier API, which answers in region V(us-east-1) for all regions.
author:
  - MLflow on EC2 contributors
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Read the plan of the account
  mlflow_ec2.aws.account_plan_info: {}
  register: account
"""

RETURN = r"""
plan:
  description:
    - V(FREE) or V(PAID). V(null) if the account has no plan, if the caller is not allowed to read
      it, or if the Free Tier API cannot be reached.
  returned: always
  type: str
  sample: FREE
"""

from contextlib import suppress

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore.config
    import botocore.exceptions

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(argument_spec={}, supports_check_mode=True)
    plan = None
    # Networks that do not reach this service, and accounts without permission for it, work as well.
    with suppress(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
        patience = botocore.config.Config(
            connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2}
        )
        client = module.client("freetier", region="us-east-1", config=patience)
        plan = client.get_account_plan_state().get("accountPlanType")
    module.exit_json(changed=False, plan=plan)


if __name__ == "__main__":
    main()
