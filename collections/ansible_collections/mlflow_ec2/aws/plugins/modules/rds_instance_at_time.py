#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: a DB instance with the data that another one had at a time."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rds_instance_at_time
short_description: Create a DB instance of RDS with the data that another one had at a time
description:
  - Restores a DB instance to a point in time, as a new instance, with tags.
    M(amazon.aws.rds_instance) can restore to a time as well, but passes tags in a form that RDS
    refuses.
  - An instance of that name is left as it is. Use M(amazon.aws.rds_instance) to change it.
  - Does not wait until the instance is available.
author:
  - MLflow on EC2 contributors
options:
  db_instance_identifier:
    description:
      - The name of the new instance.
    type: str
    required: true
  source_db_instance_identifier:
    description:
      - The name of the instance whose data are restored. It has automated backups.
    type: str
    required: true
  restore_time:
    description:
      - The time, in ISO 8601, with whole seconds. Without a time zone it is UTC.
    type: str
    required: true
  db_instance_class:
    description:
      - The class of the new instance; left out, it is that of the source.
    type: str
  db_subnet_group_name:
    description:
      - The subnet group of the new instance.
    type: str
  db_parameter_group_name:
    description:
      - The parameter group of the new instance; left out, it is the default one of the engine.
    type: str
  vpc_security_group_ids:
    description:
      - The security groups of the new instance.
    type: list
    elements: str
  port:
    description:
      - The port of the new instance; left out, it is that of the source.
    type: int
  publicly_accessible:
    description:
      - Whether the new instance has a public address.
    type: bool
    default: false
  multi_az:
    description:
      - Whether the new instance has a standby in another zone.
    type: bool
    default: false
  copy_tags_to_snapshot:
    description:
      - Whether snapshots of the new instance get its tags.
    type: bool
    default: false
  deletion_protection:
    description:
      - Whether the new instance is protected from deletion.
    type: bool
    default: false
  auto_minor_version_upgrade:
    description:
      - Whether RDS upgrades minor versions by itself.
    type: bool
    default: true
  tags:
    description:
      - The tags of the new instance.
    type: dict
    default: {}
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Restore the database as it was at noon
  mlflow_ec2.aws.rds_instance_at_time:
    db_instance_identifier: demo-2-mlflow
    source_db_instance_identifier: demo-mlflow
    restore_time: '2026-11-29T12:00:00Z'
    db_subnet_group_name: demo-2-mlflow
    tags: {Deployment: demo-2}
"""

RETURN = r"""
db_instance_status:
  description: The status of the new instance.
  returned: success, except in check mode without an instance
  type: str
  sample: creating
"""

from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
)
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.object_versions import parse_time

# Options of the module that are parameters of the call.
PARAMETERS = {
    "source_db_instance_identifier": "SourceDBInstanceIdentifier",
    "db_instance_identifier": "TargetDBInstanceIdentifier",
    "db_instance_class": "DBInstanceClass",
    "db_subnet_group_name": "DBSubnetGroupName",
    "db_parameter_group_name": "DBParameterGroupName",
    "vpc_security_group_ids": "VpcSecurityGroupIds",
    "port": "Port",
    "publicly_accessible": "PubliclyAccessible",
    "multi_az": "MultiAZ",
    "copy_tags_to_snapshot": "CopyTagsToSnapshot",
    "deletion_protection": "DeletionProtection",
    "auto_minor_version_upgrade": "AutoMinorVersionUpgrade",
}


def find(client: Any, name: str) -> dict[str, Any] | None:
    """Return the instance of a name, if there is one."""
    try:
        answer = client.describe_db_instances(DBInstanceIdentifier=name, aws_retry=True)
    except is_boto3_error_code("DBInstanceNotFound"):
        return None
    found: dict[str, Any] = answer["DBInstances"][0]
    return found


def request(params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of the call.

    Raises
    ------
    ValueError
        If the time is not valid.
    """
    given = {
        parameter: params[option]
        for option, parameter in PARAMETERS.items()
        if params[option] is not None
    }
    tags = ansible_dict_to_boto3_tag_list(params["tags"])
    return given | {"RestoreTime": parse_time(params["restore_time"]), "Tags": tags}


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "db_instance_identifier": {"type": "str", "required": True},
            "source_db_instance_identifier": {"type": "str", "required": True},
            "restore_time": {"type": "str", "required": True},
            "db_instance_class": {"type": "str"},
            "db_subnet_group_name": {"type": "str"},
            "db_parameter_group_name": {"type": "str"},
            "vpc_security_group_ids": {"type": "list", "elements": "str"},
            "port": {"type": "int"},
            "publicly_accessible": {"type": "bool", "default": False},
            "multi_az": {"type": "bool", "default": False},
            "copy_tags_to_snapshot": {"type": "bool", "default": False},
            "deletion_protection": {"type": "bool", "default": False},
            "auto_minor_version_upgrade": {"type": "bool", "default": True},
            "tags": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    client = module.client("rds", retry_decorator=AWSRetry.jittered_backoff())
    name = module.params["db_instance_identifier"]
    try:
        wanted = request(module.params)
        instance = find(client, name)
        changed = instance is None
        if changed and not module.check_mode:
            instance = client.restore_db_instance_to_point_in_time(**wanted, aws_retry=True)[
                "DBInstance"
            ]
    except ValueError as error:
        module.fail_json(msg=f"restore_time is not a valid time: {error}")
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Failed to restore DB instance {name}")
    status = {"db_instance_status": instance["DBInstanceStatus"]} if instance else {}
    module.exit_json(
        changed=changed,
        diff={"before": {} if changed else {"name": name}, "after": {"name": name}},
        **status,
    )


if __name__ == "__main__":
    main()
