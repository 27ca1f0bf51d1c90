#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: list what carries given tags, in all services that a deployment uses."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: tagged_resources_info
short_description: List what carries given tags in the services that a deployment uses
description:
  - Asks EC2, RDS, S3, IAM, Secrets Manager, Lambda, API Gateway (HTTP APIs), CloudWatch Logs,
    CloudWatch (alarms), SNS and AWS Budgets themselves, so that the answer is as fresh as theirs.
  - Callers without a right to ask the last three have nothing there; RV(denied) names these.
  - What is being deleted, and secrets that wait for their deletion, are not listed.
author:
  - MLflow on EC2 contributors
options:
  tags:
    description:
      - Tags that the resources carry, all of them.
    type: dict
    required: true
  prefixes:
    description:
      - Buckets, roles, instance profiles, functions, log groups, alarms, topics and groups of RDS
        cannot be found by their tags. Of them those are asked whose names begin with one of these.
        Of budgets those are asked whose names are one of these and the region.
    type: list
    elements: str
    required: true
  names:
    description:
      - Further names of such resources.
    type: list
    elements: str
    default: []
  secrets:
    description:
      - Names of secrets that are asked for as well, because ListSecrets can lag by five minutes.
    type: list
    elements: str
    default: []
  services:
    description:
      - Whom to ask.
    type: list
    elements: str
    choices:
      [ec2, rds, s3, iam, secretsmanager, lambda, apigatewayv2, logs, cloudwatch, sns, budgets]
    default:
      [ec2, rds, s3, iam, secretsmanager, lambda, apigatewayv2, logs, cloudwatch, sns, budgets]
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: List what is left of a deployment
  mlflow_ec2.aws.tagged_resources_info:
    tags: {Deployment: demo}
    prefixes: [demo-]
  register: left
"""

RETURN = r"""
resources:
  description: What carries the tags.
  returned: always
  type: list
  elements: dict
  contains:
    type:
      description: What it is, such as C(vpc), C(db_snapshot) or C(bucket).
      type: str
      sample: bucket
    name:
      description: Its id where it has one, or its name.
      type: str
      sample: demo-mlflow-123456789012-us-east-1
other_regions:
  description:
    - Other regions to which roles (by their tag C(Region)) and buckets with these tags belong.
  returned: always
  type: list
  elements: str
  sample: [eu-west-1]
regionless:
  description: Names of the roles and instance profiles in RV(resources) that have no tag C(Region).
  returned: always
  type: list
  elements: str
  sample: []
denied:
  description:
    - Those of the services C(cloudwatch), C(sns) and C(budgets) that refused the question, or that
      the partition of the account lacks.
  returned: always
  type: list
  elements: str
  sample: [budgets]
"""

from contextlib import suppress

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.tagged_resources import (
    SERVICES,
    Search,
)


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "tags": {"type": "dict", "required": True},
            "prefixes": {"type": "list", "elements": "str", "required": True},
            "names": {"type": "list", "elements": "str", "default": []},
            "secrets": {"type": "list", "elements": "str", "default": []},
            "services": {
                "type": "list",
                "elements": "str",
                "choices": list(SERVICES),
                "default": list(SERVICES),
            },
        },
        supports_check_mode=True,
    )
    search = Search(
        lambda service: module.client(service, retry_decorator=AWSRetry.jittered_backoff()),
        module.params["tags"],
        tuple(module.params["prefixes"]),
        tuple(module.params["names"]),
        tuple(module.params["secrets"]),
    )
    try:
        resources = search.resources(module.params["services"])
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg="Failed to list resources")
    module.exit_json(
        changed=False,
        resources=resources,
        other_regions=sorted(search.elsewhere),
        regionless=sorted(search.regionless),
        denied=sorted(search.denied),
    )


if __name__ == "__main__":
    main()
