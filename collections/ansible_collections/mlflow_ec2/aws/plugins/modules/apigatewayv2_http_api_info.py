#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: find HTTP APIs of Amazon API Gateway."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: apigatewayv2_http_api_info
short_description: Find HTTP APIs of Amazon API Gateway
description:
  - Finds HTTP APIs (API Gateway version 2) by name, by tags or by id, with their routes and stages.
author:
  - MLflow on EC2 contributors
options:
  name:
    description:
      - Only APIs of this name are returned.
    type: str
  api_id:
    description:
      - Only the API with this id is returned.
    type: str
  search_tags:
    description:
      - Only APIs that carry all these tags are returned.
    type: dict
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Find the API of a deployment
  mlflow_ec2.aws.apigatewayv2_http_api_info:
    name: demo-metrics
    search_tags: {Deployment: demo}
  register: metrics_apis
"""

RETURN = r"""
apis:
  description: The APIs that were found, each as M(mlflow_ec2.aws.apigatewayv2_http_api) returns it.
  returned: success
  type: list
  elements: dict
  contains:
    api_id:
      description: The id of the API.
      type: str
      sample: a1b2c3d4e5
    api_endpoint:
      description: The URL at which the stage C($default) is served.
      type: str
      sample: https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com
    arn:
      description: The ARN of the API.
      type: str
      sample: arn:aws:apigateway:us-east-1::/apis/a1b2c3d4e5
    name:
      description: The name of the API.
      type: str
      sample: demo-metrics
    description:
      description: The description of the API.
      type: str
      sample: Metrics of the latest runs
    disable_execute_api_endpoint:
      description: Whether only custom domain names reach the API.
      type: bool
      sample: false
    cors:
      description: The CORS configuration, without what is off or empty.
      type: dict
      sample: {"allow_origins": ["https://example.org"]}
    tags:
      description: The tags of the API.
      type: dict
      sample: {"Deployment": "demo"}
    routes:
      description: The routes, sorted by key, each with its integration.
      type: list
      elements: dict
      sample:
        - route_key: GET /metrics
          route_id: r1a2b3c
          integration_id: i1a2b3c
          lambda_arn: arn:aws:lambda:us-east-1:123456789012:function:demo-metrics
          payload_format_version: '2.0'
          timeout_in_millis: 10000
          authorization_type: NONE
          other_settings: {}
    stages:
      description: The stages, sorted by name.
      type: list
      elements: dict
      sample:
        - name: $default
          invoke_url: https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com
          description: ''
          auto_deploy: true
          throttling_burst_limit: 20
          throttling_rate_limit: 10.0
          detailed_metrics_enabled: false
          access_log: {}
          tags: {"Deployment": "demo"}
    unused_integrations:
      description: The integrations that no route uses.
      type: list
      elements: dict
      sample: []
"""

from contextlib import suppress

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.apigatewayv2 import (
    RETRY,
    find_apis,
    read_api,
)


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str"},
            "api_id": {"type": "str"},
            "search_tags": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    try:
        client = module.client("apigatewayv2", retry_decorator=RETRY)
        found = find_apis(
            client,
            api_id=module.params["api_id"],
            name=module.params["name"],
            search_tags=module.params["search_tags"],
        )
        apis = [read_api(client, api) for api in found]
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg="Failed to find HTTP APIs")
    module.exit_json(changed=False, apis=apis)


if __name__ == "__main__":
    main()
