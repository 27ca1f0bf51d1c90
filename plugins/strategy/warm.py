# SPDX-License-Identifier: Apache-2.0
"""Ansible strategy: linear, with interpreters that stay warm from task to task.

A task of plain Ansible starts a Python that imports boto3 anew, which takes longer than what it
then asks of AWS. Mitogen keeps one interpreter for each host and user and hands the tasks to it.
"""

from __future__ import annotations

from ansible.plugins.strategy.linear import StrategyModule as Linear

try:
    import ansible_mitogen.loaders  # noqa: F401 -- Mitogen wants to see Ansible before its strategy
    from ansible_mitogen.strategy import StrategyMixin
except ImportError:  # An Ansible that is not the project's: the same, but slower.
    StrategyMixin = object

DOCUMENTATION = """
name: warm
short_description: Linear, with interpreters that stay warm from task to task
description:
  - Executes tasks in the order and manner of P(ansible.builtin.linear#strategy), in interpreters
    of Mitogen if it is installed.
"""


class StrategyModule(StrategyMixin, Linear):
    """Linear, with Mitogen underneath."""
