#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: create, change and delete a user of an MLflow tracking server."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: mlflow_user
short_description: Create, change or delete a user of an MLflow tracking server
description:
  - Keeps a user of MLflow's basic authentication, over MLflow's REST API.
  - Whether the password differs is tried out by a login, since no API shows it.
author:
  - MLflow on EC2 contributors
options:
  name:
    description: Name of the user.
    type: str
    required: true
  password:
    description: Password of the user, 12 or more characters; needed for a user that is to be made.
    type: str
  admin:
    description: Whether the user may do anything; left out, it stays as it is.
    type: bool
  state:
    description: Whether there is such a user.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - mlflow_ec2.aws.mlflow_login
"""

EXAMPLES = r"""
- name: Create user ana
  mlflow_ec2.aws.mlflow_user:
    url: http://127.0.0.1:5001
    login_user: admin
    login_password: "{{ mlflow_admin_password }}"
    name: ana
    password: "{{ password_of_ana }}"

- name: Delete user bob
  mlflow_ec2.aws.mlflow_user:
    url: http://127.0.0.1:5001
    login_user: admin
    login_password: "{{ mlflow_admin_password }}"
    name: bob
    state: absent
"""

RETURN = r"""
user:
  description: The user, as it is or would be afterwards.
  returned: when O(state=present)
  type: dict
  sample: {"username": "ana", "is_admin": false}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.mlflow_rest import (
    LOGIN_ARGUMENTS,
    UNAUTHORIZED,
    MlflowError,
    MlflowRest,
    find_user,
)

ARGUMENTS = {
    **LOGIN_ARGUMENTS,
    "name": {"type": "str", "required": True},
    "password": {"type": "str", "no_log": True},
    "admin": {"type": "bool"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
SHORTEST_PASSWORD = 12


def password_fits(params: dict[str, Any]) -> bool:
    """Try whether the user gets in with the wanted password."""
    server = MlflowRest(params["url"], params["name"], params["password"], params["timeout"])
    try:
        server.get("2.0/mlflow/users/current")
    except MlflowError as error:
        if error.status == UNAUTHORIZED:
            return False
        raise
    return True


def keep(server: MlflowRest, params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Create the user or change what differs; return the module's result."""
    name, password = params["name"], params["password"]
    before = find_user(server, name)
    if before is None and not password:
        raise MlflowError(f"There is no user {name} yet: a password is needed to make it")
    was_admin = before["is_admin"] if before else False
    admin = was_admin if params["admin"] is None else params["admin"]
    new_password = bool(password) and (before is None or not password_fits(params))
    new_admin = was_admin != admin
    if not check:
        if before is None:
            server.send("POST", "2.0/mlflow/users/create", username=name, password=password)
        elif new_password:
            server.send(
                "PATCH", "2.0/mlflow/users/update-password", username=name, password=password
            )
        if new_admin:
            server.send("PATCH", "2.0/mlflow/users/update-admin", username=name, is_admin=admin)
    known = {"username": name, "is_admin": before["is_admin"]} if before else {}
    wanted = {"username": name, "is_admin": admin}
    return {
        "changed": before is None or new_password or new_admin,
        "user": wanted,
        "diff": {
            "before": known,
            "after": wanted | ({"password": "(another one)"} if before and new_password else {}),
        },
    }


def remove(server: MlflowRest, name: str, *, check: bool) -> dict[str, Any]:
    """Delete the user if there is one; return the module's result."""
    before = find_user(server, name)
    if before and not check:
        server.send("DELETE", "2.0/mlflow/users/delete", username=name)
    known = {"username": name, "is_admin": before["is_admin"]} if before else {}
    return {"changed": before is not None, "diff": {"before": known, "after": {}}}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    password = params["password"]
    if password is not None and len(password) < SHORTEST_PASSWORD:
        module.fail_json(msg=f"password of {params['name']} needs 12 or more characters")
    server = MlflowRest.from_params(params)
    try:
        if params["state"] == "present":
            result = keep(server, params, check=module.check_mode)
        else:
            result = remove(server, params["name"], check=module.check_mode)
    except MlflowError as error:
        module.fail_json(msg=f"User {params['name']}: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
