#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The documentation of action `python_zipapp`, which does the work on the control machine."""

DOCUMENTATION = r"""
---
module: python_zipapp
short_description: Copy a folder of Python sources to a host as one executable file
description:
  - Packs the folder as C(zipapp) of Python does. The same sources make the same file.
  - One file replaces another at once. A program that starts meanwhile is the old or the new one.
author:
  - MLflow on EC2 contributors
options:
  src:
    description:
      - A folder of the control machine with a file C(__main__.py). Its Python and JSON files are
        packed.
    type: str
    required: true
  dest:
    description:
      - The path of the file on the host.
    type: str
    required: true
  owner:
    description:
      - The owner of the file.
    type: str
  group:
    description:
      - The group of the file.
    type: str
  mode:
    description:
      - The permissions of the file, as M(ansible.builtin.copy) takes them.
    type: raw
"""

EXAMPLES = r"""
- name: Copy the server's program
  mlflow_ec2.aws.python_zipapp:
    src: "{{ playbook_dir }}/../server/mlflow_host"
    dest: /opt/mlflow/mlflow_host.pyz
    owner: root
    group: root
    mode: "0644"
"""

RETURN = r"""
dest:
  description: The path of the file on the host.
  returned: success
  type: str
"""
