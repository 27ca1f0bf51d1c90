#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: give a user of an MLflow tracking server a permission, or take it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_permission
short_description: Give a user of an MLflow tracking server a permission, or take it
description:
  - Sets or removes one permission of a user, over MLflow's REST API.
  - Permissions that the user has through roles of MLflow are not read and not changed.
author:
  - MLflow on EC2 contributors
options:
  user:
    description: Name of the user.
    type: str
    required: true
  experiment:
    description: Name of an experiment, or C(*) for all.
    type: str
  registered_model:
    description: Name of a registered model, or C(*) for all.
    type: str
  permission:
    description:
      - The permission to set. V(DENY) hides the resource, even if another permission shows it.
      - V(NONE) removes the user's permission. The default permission of the server then applies.
    type: str
    choices: [READ, USE, EDIT, MANAGE, DENY, NONE]
    required: true
extends_documentation_fragment:
  - mlflow_ec2.aws.mlflow_login
"""

EXAMPLES = r"""
- name: Allow ana to log into experiment liga
  mlflow_ec2.aws.mlflow_permission:
    url: http://127.0.0.1:5001
    login_user: admin
    login_password: "{{ mlflow_admin_password }}"
    user: ana
    experiment: liga
    permission: EDIT
"""

RETURN = r"""
permission:
  description: The permission, as it is or would be afterwards.
  returned: success
  type: dict
  sample: {"user": "ana", "resource_type": "experiment", "resource": "liga", "permission": "EDIT"}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.mlflow_rest import (
    LOGIN_ARGUMENTS,
    NOT_FOUND,
    MlflowError,
    MlflowRest,
)

ARGUMENTS = {
    **LOGIN_ARGUMENTS,
    "user": {"type": "str", "required": True},
    "experiment": {"type": "str"},
    "registered_model": {"type": "str"},
    "permission": {
        "type": "str",
        "choices": ["READ", "USE", "EDIT", "MANAGE", "DENY", "NONE"],
        "required": True,
    },
}
EVERYTHING = "*"
# MLflow keeps what is granted to one user in a role of this name.
OWN_ROLE = "__user_"


def resource_of(server: MlflowRest, params: dict[str, Any]) -> tuple[str, str]:
    """Return type and id of the resource; MLflow calls experiments by number."""
    model: str | None = params["registered_model"]
    if model is not None:
        return "registered_model", model
    name: str = params["experiment"]
    if name == EVERYTHING:
        return "experiment", name
    try:
        found = server.get("2.0/mlflow/experiments/get-by-name", experiment_name=name)
    except MlflowError as error:
        if error.code != NOT_FOUND:
            raise
        raise MlflowError(
            f"there is no experiment {name}: create it first, or grant it for all with '*'"
        ) from None
    return "experiment", found["experiment"]["experiment_id"]


def present_permission(server: MlflowRest, user: str, kind: str, resource: str) -> str:
    """Return the user's own permission, or NONE."""
    rows = server.get("3.0/mlflow/users/permissions/list", username=user)["permissions"]
    for row in rows:
        own = row["role_name"].startswith(OWN_ROLE)
        if own and (row["resource_type"], row["resource_pattern"]) == (kind, resource):
            found: str = row["permission"]
            return found
    return "NONE"


def keep(server: MlflowRest, params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Give or take the permission; return the module's result."""
    user, wanted = params["user"], params["permission"]
    kind, resource = resource_of(server, params)
    try:
        present = present_permission(server, user, kind, resource)
    except MlflowError as error:
        # Under --check the user may be one that an earlier task would make.
        if not check or error.code != NOT_FOUND:
            raise
        present = "NONE"
    names = {"username": user, "resource_type": kind, "resource_id": resource}
    if present != wanted and not check:
        if present != "NONE":
            server.send("POST", "3.0/mlflow/users/permissions/revoke", **names)
        if wanted != "NONE":
            server.send("POST", "3.0/mlflow/users/permissions/grant", **names, permission=wanted)
    before = {
        "user": user,
        "resource_type": kind,
        "resource": params["registered_model"] or params["experiment"],
        "permission": present,
    }
    after = before | {"permission": wanted}
    return {
        "changed": present != wanted,
        "permission": after,
        "diff": {"before": before, "after": after},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        mutually_exclusive=[["experiment", "registered_model"]],
        required_one_of=[["experiment", "registered_model"]],
        supports_check_mode=True,
    )
    params = module.params
    try:
        result = keep(MlflowRest.from_params(params), params, check=module.check_mode)
    except MlflowError as error:
        module.fail_json(msg=f"Permission of {params['user']}: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
