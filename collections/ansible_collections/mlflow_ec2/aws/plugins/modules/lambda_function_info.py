#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: read one function of AWS Lambda."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: lambda_function_info
short_description: Read one function of AWS Lambda
description:
  - Reads configuration and tags of one function, and of no other function in the account.
  - M(amazon.aws.lambda_info) fails for the name of a function that does not exist; without a
    name it reads every function of the account, which a confined policy refuses.
author:
  - MLflow on EC2 contributors
options:
  name:
    description:
      - The name of the function.
    type: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Look at a function
  mlflow_ec2.aws.lambda_function_info:
    name: demo-mlflow-metrics
  register: function
  # Environment variables can hold passwords.
  no_log: true
"""

RETURN = r"""
function:
  description:
    - What GetFunctionConfiguration returns, its keys in snake case, and C(tags); the names of
      environment variables and tags are unchanged.
    - V(null) if the function does not exist.
  returned: always
  type: dict
  sample:
    function_name: demo-mlflow-metrics
    memory_size: 256
    tags: {Deployment: demo}
"""

from contextlib import suppress

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={"name": {"type": "str", "required": True}}, supports_check_mode=True
    )
    name = module.params["name"]
    client = module.client("lambda", retry_decorator=AWSRetry.jittered_backoff())
    try:
        found = client.get_function_configuration(FunctionName=name, aws_retry=True)
        tags = client.list_tags(Resource=found["FunctionArn"], aws_retry=True).get("Tags", {})
    except is_boto3_error_code("ResourceNotFoundException"):
        module.exit_json(changed=False, function=None)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to read function {name}")
    found.pop("ResponseMetadata", None)
    function = {**camel_dict_to_snake_dict(found), "tags": tags}
    if "environment" in function:
        function["environment"]["variables"] = found["Environment"].get("Variables", {})
    module.exit_json(changed=False, function=function)


if __name__ == "__main__":
    main()
