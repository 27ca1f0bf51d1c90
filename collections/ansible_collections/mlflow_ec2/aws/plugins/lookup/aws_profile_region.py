# SPDX-License-Identifier: Apache-2.0
"""Ansible lookup: the region of the operator's profile."""

from __future__ import annotations

import configparser
import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = r"""
name: aws_profile_region
short_description: Read the region of a profile from AWS's configuration file
description:
  - Returns the region that the file of E(AWS_CONFIG_FILE), or C(~/.aws/config), sets for the
    profile of E(AWS_PROFILE), E(AWS_DEFAULT_PROFILE) or C(default). Returns an empty text if
    there is no such file, profile or setting.
author:
  - MLflow on EC2 contributors
"""

EXAMPLES = r"""
- name: Show the region of the profile
  ansible.builtin.debug:
    msg: "{{ lookup('aws_profile_region') }}"
"""

RETURN = r"""
_raw:
  description: The region, such as V(eu-west-1), or an empty text.
  type: list
  elements: str
"""


class LookupModule(LookupBase):
    """Reads the file as botocore does, without importing it: the region is asked for often."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[str]:
        """Return the region in a list."""
        del terms, variables, kwargs
        return [profile_region(dict(os.environ))]


def profile_region(environment: dict[str, str]) -> str:
    """Return the region of the profile that this environment names, or an empty text.

    Raises
    ------
    AnsibleLookupError
        If the file cannot be read as one of AWS's.
    """
    file = Path(environment.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()
    profile = environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE") or "default"
    parser = configparser.RawConfigParser()
    try:
        parser.read(file)
    except (configparser.Error, UnicodeDecodeError) as error:
        raise AnsibleLookupError(
            f"AWS_CONFIG_FILE: {file} is not a valid configuration of AWS: {error}. Correct it, "
            "or set AWS_REGION and AWS_CONFIG_FILE."
        ) from error
    sections = (f"profile {profile}", profile) if profile != "default" else (profile,)
    for section in sections:
        if parser.has_option(section, "region"):
            return parser.get(section, "region").strip()
    return ""
