#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The documentation of action `playbook`, which does the work on the control machine."""

DOCUMENTATION = r"""
---
module: playbook
short_description: Run a playbook with other variables than those of this run
description:
  - Runs the playbook in a process of its own, with the inventory and the extra variables of this
    run. O(variables) take precedence over them, which a play that is imported cannot do.
  - In check mode the playbook runs under C(--check).
  - The task fails if the playbook does. It always reports a change, because it does not know what
    the playbook has changed.
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
- name: Create the same deployment under another name
  mlflow_ec2.aws.playbook:
    playbook: "{{ playbook_dir }}/../site.yml"
    variables: {deployment: demo-2}
"""

RETURN = r"""
seconds:
  description: How long the playbook took, in seconds.
  returned: success
  type: int
  sample: 300
"""
