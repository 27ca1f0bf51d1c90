#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: keep what botocore has read of AWS's services for the tasks that follow."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: botocore_cache
short_description: Keep what botocore has read of AWS's services for the tasks that follow
description:
  - Makes botocore look for and read the descriptions of AWS's services once. By default, it looks
    through hundreds of folders and reads megabytes of JSON again for each session, and so for each
    task.
  - It has an effect only with strategy C(warm), where the interpreter continues after a task, and
    only with a botocore whose loaders have a cache each.
author:
  - MLflow on EC2 contributors
options: {}
requirements:
  - botocore
"""

EXAMPLES = r"""
- name: Read the descriptions of AWS's services once only
  mlflow_ec2.aws.botocore_cache: {}
"""

RETURN = r"""
kept:
  description: How many descriptions and lists of services this interpreter has kept so far.
  returned: always
  type: int
  sample: 0
"""

from typing import Any, cast

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from botocore.loaders import Loader
except ImportError:
    Loader = None


def keep() -> dict[tuple[Any, ...], dict[Any, Any]]:
    """Let the loaders of all sessions share a cache if they search the same folders.

    Sessions share what is kept then, as the clients of one session share it anyway: botocore does
    not change it.

    Returns
    -------
    dict
        For each list of folders, what a loader has found. It stays empty with a botocore for which
        this was not made.
    """
    shared = vars(Loader).get("_cache")
    if shared is not None:
        return cast("dict[tuple[Any, ...], dict[Any, Any]]", shared.fget.caches)
    caches: dict[tuple[Any, ...], dict[Any, Any]] = {}
    if vars(Loader()).get("_cache") != {}:
        return caches

    def cache(self: Any) -> dict[Any, Any]:
        # boto3 adds a folder to a loader that exists.
        key = (type(self.file_loader), *self.search_paths, None, *self.extras_types)
        return caches.setdefault(key, {})

    def ignore(self: Any, value: Any) -> None:
        """Let a loader's constructor set its own cache, which is not used."""

    cast("Any", cache).caches = caches
    Loader._cache = property(cache, ignore)  # noqa: SLF001 -- botocore has no option
    return caches


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    if Loader is None:
        module.fail_json(msg=missing_required_lib("botocore"))
    module.exit_json(changed=False, kept=sum(map(len, keep().values())))


if __name__ == "__main__":
    main()
