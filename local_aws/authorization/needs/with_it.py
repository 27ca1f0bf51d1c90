"""What a call needs beside its own action, as AWS's documentation of the operation says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.iam.models import iam_backends

from local_aws.authorization.needs import named
from local_aws.authorization.needs.call import Call, Need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Giving tags to what is created is an action of its own (EC2's is in `ec2`).
_TAG_ACTIONS = {
    # https://docs.aws.amazon.com/cost-management/latest/userguide/budgets-tagging.html
    "budgets:CreateBudget": "TagResource",
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    "cloudwatch:PutMetricAlarm": "TagResource",
    "iam:CreateInstanceProfile": "TagInstanceProfile",
    "iam:CreatePolicy": "TagPolicy",
    "iam:CreateRole": "TagRole",
    "iam:CreateUser": "TagUser",
    # https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html
    "lambda:CreateFunction": "TagResource",
    # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
    "logs:CreateLogGroup": "TagResource",
    # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Tagging.html
    "rds:CopyDBSnapshot": "AddTagsToResource",
    "rds:CreateDBInstance": "AddTagsToResource",
    "rds:CreateDBParameterGroup": "AddTagsToResource",
    "rds:CreateDBSnapshot": "AddTagsToResource",
    "rds:CreateDBSubnetGroup": "AddTagsToResource",
    "rds:RestoreDBInstanceFromDBSnapshot": "AddTagsToResource",
    "rds:RestoreDBInstanceToPointInTime": "AddTagsToResource",
    # https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
    "secretsmanager:CreateSecret": "TagResource",
    # https://docs.aws.amazon.com/sns/latest/dg/sns-tags.html
    "sns:CreateTopic": "TagResource",
}
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging.html
_LOG_DELIVERY = (
    "CreateLogDelivery",
    "DeleteLogDelivery",
    "DescribeLogGroups",
    "DescribeResourcePolicies",
    "GetLogDelivery",
    "ListLogDeliveries",
    "PutResourcePolicy",
    "UpdateLogDelivery",
)
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
_FUNCTION_IN_A_NETWORK = ("DescribeSecurityGroups", "DescribeSubnets", "DescribeVpcs")
_RDS_ROLE = "AWSServiceRoleForRDS"


def needs(call: Call) -> Iterator[Need]:
    """Yield what is needed beside the call's own action."""
    yield from _tags(call)
    name = f"{call.service}:{call.operation}"
    for names, find in _BESIDES.items():
        if name in names:
            yield from find(call)


def _tags(call: Call) -> Iterator[Need]:
    action = _TAG_ACTIONS.get(f"{call.service}:{call.operation}")
    if action and any(call.parameters.get(name) for name in ("Tags", "tags", "ResourceTags")):
        tagging = Call(call.service, action, call.parameters, call.account, call.region)
        for need in named.needs(tagging):
            # A log group is tagged under its plain ARN.
            arn = need.resource.removesuffix(":log-stream:")
            if "*" not in arn:
                yield Need(need.action, arn, need.type_name, need.keys)


def _passed_roles(call: Call) -> Iterator[Need]:
    """Yield a role that a service is to take.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
    """
    parameters: Any = call.parameters
    iam = iam_backends[call.account]["aws"]
    profile = parameters.get("IamInstanceProfile") or {}
    wanted = profile.get("Name") or (profile.get("Arn") or "").rpartition("/")[2]
    arns = [
        (role.arn, "ec2.amazonaws.com")
        for known in list(iam.instance_profiles.values())
        if wanted and known.name == wanted
        for role in known.roles
    ]
    if call.service == "lambda" and parameters.get("Role"):
        arns.append((parameters["Role"], "lambda.amazonaws.com"))
    if call.service == "rds" and parameters.get("MonitoringRoleArn"):
        arns.append((parameters["MonitoringRoleArn"], "monitoring.rds.amazonaws.com"))
    if call.operation == "AddRoleToInstanceProfile":
        arns.append(
            (f"arn:aws:iam::{call.account}:role/{parameters['RoleName']}", "ec2.amazonaws.com")
        )
    for arn, service in arns:
        yield Need("iam:PassRole", arn, "role", {"iam:passedtoservice": (service,)})


def _service_linked_role(call: Call) -> Iterator[Need]:
    """Yield the role that RDS makes for itself, as long as the account has none.

    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAM.ServiceLinkedRoles.html
    """
    iam = iam_backends[call.account]["aws"]
    if not any(role.name == _RDS_ROLE for role in list(iam.roles.values())):
        yield Need(
            "iam:CreateServiceLinkedRole",
            f"arn:aws:iam::{call.account}:role/aws-service-role/rds.amazonaws.com/{_RDS_ROLE}",
            "role",
            {"iam:awsservicename": ("rds.amazonaws.com",)},
        )


def _log_delivery(call: Call) -> Iterator[Need]:
    if call.parameters.get("AccessLogSettings"):
        yield from (Need(f"logs:{action}") for action in _LOG_DELIVERY)


def _function_in_a_network(call: Call) -> Iterator[Need]:
    if (call.parameters.get("VpcConfig") or {}).get("SubnetIds"):
        yield from (Need(f"ec2:{action}") for action in _FUNCTION_IN_A_NETWORK)


_BESIDES: dict[tuple[str, ...], Callable[[Call], Iterator[Need]]] = {
    (
        "ec2:AssociateIamInstanceProfile",
        "ec2:ReplaceIamInstanceProfileAssociation",
        "ec2:RunInstances",
        "iam:AddRoleToInstanceProfile",
        "lambda:CreateFunction",
        "lambda:UpdateFunctionConfiguration",
        "rds:CreateDBInstance",
        "rds:ModifyDBInstance",
        "rds:RestoreDBInstanceFromDBSnapshot",
    ): _passed_roles,
    (
        "rds:CreateDBInstance",
        "rds:CreateDBSubnetGroup",
        "rds:RestoreDBInstanceFromDBSnapshot",
        "rds:RestoreDBInstanceToPointInTime",
    ): _service_linked_role,
    ("apigateway:CreateStage", "apigateway:UpdateStage"): _log_delivery,
    ("lambda:CreateFunction", "lambda:UpdateFunctionConfiguration"): _function_in_a_network,
}
