#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The documentation of action `difference`, which does the work on the control machine."""

DOCUMENTATION = r"""
---
module: difference
short_description: Report how existing settings differ from the wanted ones
description:
  - The task is changed if they differ, and its diff has the names that do.
  - It plans a change for a module that cannot do so itself under C(--check).
author:
  - MLflow on EC2 contributors
options:
  before:
    description:
      - The existing settings. It is empty if nothing exists.
    type: dict
    required: true
  after:
    description:
      - The wanted settings, by the same names.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Plan the settings of a function
  mlflow_ec2.aws.difference:
    before: "{{ function.configuration | default({}) }}"
    after: {memory_size: 256, timeout: 15}
"""

RETURN = r"""
existed:
  description: Whether O(before) has any setting.
  returned: always
  type: bool
"""
