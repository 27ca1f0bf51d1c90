#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The documentation of action `plan`, which does the work on the control machine."""

DOCUMENTATION = r"""
---
module: plan
short_description: Plan what a playbook would do
description:
  - Runs the playbook under C(--check) with the inventory and the extra variables of this run.
  - Callback C(mlflow_ec2.aws.plan) makes the plan. It has to be among the C(callbacks_enabled) of
    ansible.cfg.
  - The task fails if the playbook does.
author:
  - MLflow on EC2 contributors
options:
  playbook:
    description:
      - The path of the playbook.
    type: str
    required: true
  variables:
    description:
      - Variables in addition to those of this run.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Plan the deployment
  mlflow_ec2.aws.plan:
    playbook: "{{ playbook_dir }}/../site.yml"
  register: drift
"""

RETURN = r"""
planned:
  description: What would be done.
  returned: success
  type: list
  elements: dict
left:
  description: The number of resources that are unchanged.
  returned: success
  type: int
"""
