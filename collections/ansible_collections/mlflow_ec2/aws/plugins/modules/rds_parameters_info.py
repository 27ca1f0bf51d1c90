#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: read parameters of a DB parameter group."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rds_parameters_info
short_description: Read parameters of a DB parameter group
description:
  - Reads the values of parameters in a DB parameter group of RDS;
    M(amazon.aws.rds_instance_param_group_info) returns only which groups exist.
author:
  - MLflow on EC2 contributors
options:
  group:
    description:
      - The name of the parameter group.
    type: str
    required: true
  names:
    description:
      - The names of the parameters.
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: See whether connections without TLS are refused
  mlflow_ec2.aws.rds_parameters_info:
    group: demo-mlflow-postgres17
    names: [rds.force_ssl]
  register: parameters
"""

RETURN = r"""
parameters:
  description: The values by name, as text, none without such a group; what has none is left out.
  returned: always
  type: dict
  sample: {"rds.force_ssl": "1"}
"""

from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule


def read(client: Any, group: str, names: list[str]) -> dict[str, str] | None:
    """Return the values of these parameters by name, None without the group."""
    pages = client.get_paginator("describe_db_parameters").paginate(DBParameterGroupName=group)
    try:
        return {
            found["ParameterName"]: found["ParameterValue"]
            for page in pages
            for found in page["Parameters"]
            if found["ParameterName"] in names and "ParameterValue" in found
        }
    except is_boto3_error_code(("DBParameterGroupNotFound", "DBParameterGroupNotFoundFault")):
        return None


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "group": {"type": "str", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    group, names = module.params["group"], module.params["names"]
    try:
        parameters = read(module.client("rds"), group, names)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to read the parameters of {group}")
    module.exit_json(changed=False, parameters=parameters)


if __name__ == "__main__":
    main()
