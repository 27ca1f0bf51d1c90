# SPDX-License-Identifier: Apache-2.0
"""Documentation of the options by which a module reaches an MLflow tracking server."""

from __future__ import annotations


class ModuleDocFragment:
    """The options that ``module_utils/mlflow_rest.py`` specifies as LOGIN_ARGUMENTS."""

    DOCUMENTATION = r"""
options:
  url:
    description: Scheme, name and port of the server, e.g. C(http://127.0.0.1:5001).
    type: str
    required: true
  login_user:
    description: Name of an administrator.
    type: str
    required: true
  login_password:
    description: The administrator's password.
    type: str
    required: true
  timeout:
    description: Seconds that an answer may take.
    type: int
    default: 30
"""
