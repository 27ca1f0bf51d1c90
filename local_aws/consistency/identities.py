"""Services that do not know a new role, its policies or a new instance profile yet.

moto's services know, or do not check, each identity of IAM at once. AWS replicates IAM's changes
to the services, which refuse an identity until they have it; each in its own words. RDS makes its
service-linked role at the account's first call that needs it, and refuses until it knows it.

Sources:
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/iam-roles-for-amazon-ec2.html (profiles)
https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
https://github.com/hashicorp/terraform-provider-aws/issues/7646 (the words of Lambda)
https://github.com/hashicorp/terraform-provider-aws/issues/6625 (the words of RDS)
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAM.ServiceLinkedRoles.html
https://github.com/terraform-aws-modules/terraform-aws-rds/issues/364 (the subnet group's words)
https://github.com/hashicorp/terraform-provider-aws/pull/10100 (the instance's words)
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse
from moto.core.utils import get_service_model
from moto.iam.models import iam_backends

from local_aws.calls import parameters
from local_aws.patching import replace

if TYPE_CHECKING:
    from local_aws.consistency.history import History
    from local_aws.settings import Settings

_Parameters = dict[str, Any]
_LOCK = threading.Lock()
_RDS_ROLE = "AWSServiceRoleForRDS"
_RDS_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": "rds.amazonaws.com"},
        }
    ],
}


class UnknownIdentityError(ServiceException):
    """What AWS answers; a class of moto's own would be looked up among its services."""


def apply(settings: Settings, past: History) -> None:
    """Look for the identities that a call names in the IAM of `stale_seconds` ago."""

    def call_action(self: BaseResponse) -> Any:
        check = _CHECKS.get((str(self.boto3_service_name), self._get_action()))
        if check in {_new_database, _subnet_group}:
            _make_linked_role(self.current_account)
        if check is not None:
            operation = get_service_model(self.boto3_service_name).operation_model(
                self._get_action()
            )
            with past.looking_back(settings.stale_seconds):
                error = check(self.current_account, parameters(self, operation))
            if error is not None:
                return self.serialized(ActionResult(error))
        return call_any_action(self)

    call_any_action = replace(BaseResponse, "call_action", call_action)


def _instance(account: str, given: _Parameters) -> UnknownIdentityError | None:
    wanted = given.get("IamInstanceProfile") or {}
    profiles = iam_backends[account]["aws"].instance_profiles.values()
    for key, found in (
        ("Name", {one.name for one in profiles}),
        ("Arn", {p.arn for p in profiles}),
    ):
        value = wanted.get(key)
        if value is not None and value not in found:
            return UnknownIdentityError(
                "InvalidParameterValue",
                f"Value ({value}) for parameter iamInstanceProfile.{key.lower()} is invalid. "
                f"Invalid IAM Instance Profile {'name' if key == 'Name' else 'ARN'}",
            )
    return None


def _function(account: str, given: _Parameters) -> UnknownIdentityError | None:
    arn = given.get("Role")
    if arn is None:
        return None
    role = _role(account, arn)
    if role is None:
        return UnknownIdentityError(
            "InvalidParameterValueException",
            "The role defined for the function cannot be assumed by Lambda.",
        )
    policies = (*role.managed_policies, *role.policies)
    if (given.get("VpcConfig") or {}).get("SubnetIds") and not policies:
        return UnknownIdentityError(
            "InvalidParameterValueException",
            "The provided execution role does not have permissions to call CreateNetworkInterface "
            "on EC2",
        )
    return None


def _database(account: str, given: _Parameters) -> UnknownIdentityError | None:
    arn = given.get("MonitoringRoleArn")
    if arn is None or _role(account, arn) is not None:
        return None
    return UnknownIdentityError(
        "InvalidParameterValue",
        "IAM role ARN value is invalid or does not include the required permissions for: "
        "ENHANCED_MONITORING",
    )


def _new_database(account: str, given: _Parameters) -> UnknownIdentityError | None:
    if _linked_roles(account):
        return _database(account, given)
    return UnknownIdentityError(
        "InvalidParameterValue",
        "Unable to create the resource. Verify that you have permission to create service linked "
        "role. Otherwise wait and try again later",
    )


def _subnet_group(account: str, given: _Parameters) -> UnknownIdentityError | None:
    del given
    if _linked_roles(account):
        return None
    return UnknownIdentityError(
        "InvalidParameterValue",
        "Missing necessary credentials. Please check http://docs.aws.amazon.com/AmazonRDS/latest/"
        "UserGuide/UsingWithRDS.IAM.ServiceLinkedRoles.html",
    )


def _make_linked_role(account: str) -> None:
    with _LOCK:
        if not _linked_roles(account):
            # moto's own method gives it another name.
            iam_backends[account]["aws"].create_role(
                role_name=_RDS_ROLE,
                assume_role_policy_document=json.dumps(_RDS_TRUST),
                path="/aws-service-role/rds.amazonaws.com/",
                permissions_boundary=None,
                description="",
                tags=[],
                max_session_duration="3600",
                linked_service="rds.amazonaws.com",
            )


def _linked_roles(account: str) -> list[Any]:
    roles = list(iam_backends[account]["aws"].roles.values())
    return [role for role in roles if role.name == _RDS_ROLE]


def _role(account: str, arn: str) -> Any:
    return next(
        (role for role in iam_backends[account]["aws"].roles.values() if role.arn == arn), None
    )


_CHECKS = {
    ("ec2", "AssociateIamInstanceProfile"): _instance,
    ("ec2", "ReplaceIamInstanceProfileAssociation"): _instance,
    ("ec2", "RunInstances"): _instance,
    ("lambda", "CreateFunction"): _function,
    ("lambda", "UpdateFunctionConfiguration"): _function,
    ("rds", "CreateDBInstance"): _new_database,
    ("rds", "CreateDBSubnetGroup"): _subnet_group,
    ("rds", "ModifyDBInstance"): _database,
    ("rds", "RestoreDBInstanceFromDBSnapshot"): _new_database,
}
