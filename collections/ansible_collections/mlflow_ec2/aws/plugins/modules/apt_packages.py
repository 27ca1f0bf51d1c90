#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The documentation of action `apt_packages`, which asks dpkg before it starts apt."""

DOCUMENTATION = r"""
---
module: apt_packages
short_description: Install packages of Debian if one of them is missing
description:
  - Asks C(dpkg-query) for the packages. Only if one is missing, M(ansible.builtin.apt) installs
    them, which reads the lists of all packages and takes a second or more.
  - Fetches the lists of packages first if there are none, or if they are older than a day. Waits
    for the locks of apt for ten minutes.
  - Installs no recommended packages.
  - In check mode, skips the task if the lists of packages are missing, because apt cannot plan
    then.
author:
  - MLflow on EC2 contributors
options:
  name:
    description:
      - Names of packages. After a name, C(>=) and the least version can follow.
    type: list
    elements: str
    required: true
  refresh_lists:
    description:
      - Whether the lists of packages are fetched even if they are new, because a source was added.
    type: bool
    default: false
  start_services:
    description:
      - Whether services of new packages are started with the settings of the package.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: Can run in check mode and return changed status without modifying the target.
"""

EXAMPLES = r"""
- name: Install Caddy, without starting it
  mlflow_ec2.aws.apt_packages:
    name: [caddy>=2.11]
    start_services: false
"""

RETURN = r"""
stdout:
  description: The output of apt.
  returned: when a package was installed
  type: str
"""
