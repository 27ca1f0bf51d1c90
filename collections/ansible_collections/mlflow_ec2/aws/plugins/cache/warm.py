# SPDX-License-Identifier: Apache-2.0
"""Ansible cache of facts: in memory, loaded before the playbooks, which are then loaded faster."""

from __future__ import annotations

from ansible.plugins.cache.memory import CacheModule as Memory
from ansible_collections.mlflow_ec2.aws.plugins.plugin_utils import garbage, loaded_files

DOCUMENTATION = """
name: warm
short_description: Facts in memory, and playbooks that are loaded faster
description:
  - Keeps facts as P(ansible.builtin.memory#cache) does.
  - Ansible loads this plug-in before it loads playbooks. Strategy P(mlflow_ec2.aws.warm#strategy)
    comes after that, so what makes the loading faster begins here. It copies the files of roles
    without their texts, parses the files of C(vars_files) once, and lets Python search for garbage
    less often.
  - E(ANSIBLE_CACHE_PLUGIN=memory) does without it.
"""


class CacheModule(Memory):
    """The cache in memory of Ansible."""


loaded_files.keep()
garbage.collect_less()
