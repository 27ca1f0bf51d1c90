#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: keep what botocore has read of AWS's services for the tasks that follow."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: botocore_cache
short_description: Keep what botocore has read of AWS's services for the tasks that follow
description:
  - Makes botocore read the JSON description of each AWS service once. By default, it reads these
    files, which are megabytes large, again for each session, and so for each task.
  - It has an effect only with strategy C(warm), where the interpreter continues after a task.
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
files:
  description: How many files this interpreter has kept so far.
  returned: always
  type: int
  sample: 0
"""

from typing import Any, cast

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from botocore.loaders import JSONFileLoader
except ImportError:
    JSONFileLoader = None


def keep() -> dict[str, Any]:
    """Make botocore read each file once; return the contents by path, None for a missing file.

    Sessions share what is kept then, as the clients of one session share it anyway: botocore does
    not change it but by filling in references, which is done once as well as twice.
    """
    read = JSONFileLoader.load_file
    files: dict[str, Any] | None = getattr(read, "files", None)
    if files is not None:
        return files
    files = {}

    def load_file(self: JSONFileLoader, file_path: str) -> Any:
        if file_path not in files:
            files[file_path] = read(self, file_path)
        return files[file_path]

    cast("Any", load_file).files = files
    JSONFileLoader.load_file = load_file
    return files


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    if JSONFileLoader is None:
        module.fail_json(msg=missing_required_lib("botocore"))
    module.exit_json(changed=False, files=len(keep()))


if __name__ == "__main__":
    main()
