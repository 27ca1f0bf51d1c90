#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The documentation of action `settings_check`, which does the work on the control machine."""

DOCUMENTATION = r"""
---
module: settings_check
short_description: Check all variables of a run before the first role starts
description:
  - Compares what inventory and command line set with the argument specs of roles and inventory.
  - Ansible checks the arguments of a role when it comes to that role. It ignores a misspelt name,
    and a value of the inventory for a variable that a playbook sets.
  - The task fails with one line for each variable that is unknown, has no effect or is of the
    wrong type.
author:
  - MLflow on EC2 contributors
options:
  roles:
    description:
      - The directory whose roles have C(meta/argument_specs.yml).
    type: path
    required: true
  playbooks:
    description:
      - The directory of the playbooks. A user cannot set what they set.
    type: path
    required: true
  specs:
    description:
      - A YAML file with the options of variables that belong to no role, by name.
    type: path
    required: true
  names:
    description:
      - A YAML file with the new name of each renamed variable (C(renamed)), and what to do instead
        of setting a variable that the playbooks set (C(wired)).
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Check the settings
  mlflow_ec2.aws.settings_check:
    roles: "{{ playbook_dir }}/../roles"
    playbooks: "{{ playbook_dir }}"
    specs: "{{ playbook_dir }}/../inventory/specs.yml"
    names: "{{ playbook_dir }}/../inventory/names.yml"
"""

RETURN = r"""
msg:
  description: One line for each problem.
  returned: failure
  type: str
"""
