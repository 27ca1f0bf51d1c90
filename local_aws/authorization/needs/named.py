"""Calls of the services whose resources have names that a parameter gives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from moto.iam.models import iam_backends
from moto.secretsmanager.models import secretsmanager_backends

from local_aws.authorization import actions, tags
from local_aws.authorization.needs.call import Need, of_types, read_tags, request_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local_aws.authorization.needs.call import Call

# Which parameter names a resource of which kind.
_PARAMETERS: dict[str, dict[str, str]] = {
    "budgets": {"BudgetName": "budget", "ResourceARN": "budget"},
    "cloudwatch": {"AlarmName": "alarm", "AlarmNames": "alarm", "ResourceARN": "alarm"},
    "iam": {
        "GroupName": "group",
        "InstanceProfileName": "instance-profile",
        "PolicyArn": "policy",
        "PolicyName": "policy",
        "RoleName": "role",
        "UserName": "user",
    },
    "lambda": {"FunctionName": "function", "Resource": "function"},
    "logs": {"logGroupName": "log-group", "resourceArn": "log-group"},
    "rds": {
        "DBInstanceIdentifier": "db",
        "DBParameterGroupName": "pg",
        "DBSnapshotIdentifier": "snapshot",
        "DBSubnetGroupName": "subgrp",
        "OptionGroupName": "og",
        "SourceDBInstanceIdentifier": "db",
        "SourceDBSnapshotIdentifier": "snapshot",
        "TargetDBInstanceIdentifier": "db",
        "TargetDBSnapshotIdentifier": "snapshot",
    },
    "secretsmanager": {"Name": "Secret", "SecretId": "Secret"},
    "servicequotas": {"ServiceCode": "quota"},
    "sns": {"Name": "topic", "ResourceArn": "topic", "TopicArn": "topic"},
    "sts": {"RoleArn": "role"},
}
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonrds.html
_RDS_KEYS = {"AllocatedStorage": "rds:storagesize", "DBInstanceClass": "rds:databaseclass"}
_ACTIONS = {
    "lambda:Invoke": "lambda:InvokeFunction",
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsbudgetservice.html
    "budgets:CreateBudget": "budgets:ModifyBudget",
    "budgets:CreateNotification": "budgets:ModifyBudget",
    "budgets:CreateSubscriber": "budgets:ModifyBudget",
    "budgets:DeleteBudget": "budgets:ModifyBudget",
    "budgets:DeleteNotification": "budgets:ModifyBudget",
    "budgets:DeleteSubscriber": "budgets:ModifyBudget",
    "budgets:UpdateBudget": "budgets:ModifyBudget",
    "budgets:UpdateNotification": "budgets:ModifyBudget",
    "budgets:UpdateSubscriber": "budgets:ModifyBudget",
    "budgets:DescribeBudget": "budgets:ViewBudget",
    "budgets:DescribeBudgets": "budgets:ViewBudget",
    "budgets:DescribeNotificationsForBudget": "budgets:ViewBudget",
    "budgets:DescribeSubscribersForNotification": "budgets:ViewBudget",
}
# A restore needs permission for the option group, which is the engine's default if none is named:
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_WorkingWithOptionGroups.html
_RESTORES = frozenset({"RestoreDBInstanceFromDBSnapshot", "RestoreDBInstanceToPointInTime"})
_DEFAULT_OPTION_GROUP = "default:postgres-17"


def needs(call: Call) -> Iterator[Need]:
    """Yield what the action of a call's own needs."""
    name = f"{call.service}:{call.operation}"
    if call.service == "apigateway":
        yield _endpoint(call)
        return
    resources = _resources(call)
    given = request_tags(_given_tags(call))
    for need in of_types(call, _ACTIONS.get(name, name), resources):
        keys = given | tags.keys(need.resource, call.account, call.region)
        if call.service == "iam" and "PolicyArn" in call.parameters:
            keys["iam:policyarn"] = (call.parameters["PolicyArn"],)
        if call.service == "secretsmanager" and "Name" in call.parameters:
            keys["secretsmanager:name"] = (call.parameters["Name"],)
        for parameter, key in _RDS_KEYS.items() if call.service == "rds" else ():
            if parameter in call.parameters:
                keys[key] = (str(call.parameters[parameter]),)
        yield Need(need.action, need.resource, need.type_name, keys)


def _given_tags(call: Call) -> dict[str, str]:
    parameters = call.parameters
    given = (parameters.get(name) for name in ("Tags", "tags", "ResourceTags"))
    return read_tags(next(filter(None, given), None))


def _resources(call: Call) -> dict[str, list[str]]:
    """Return the ARNs of what a request names, by kind."""
    found: dict[str, list[str]] = {}
    if call.service == "rds" and "ResourceName" in call.parameters:
        arn = call.parameters["ResourceName"]
        return {_rds_kind(arn): [arn]}
    # Budgets has the name within what is created or changed.
    described = call.parameters.get("Budget") or call.parameters.get("NewBudget") or {}
    for parameter, kind in _PARAMETERS.get(call.service, {}).items():
        value = call.parameters.get(parameter) or described.get(parameter)
        for name in value if isinstance(value, list) else [value]:
            if isinstance(name, str) and name:
                found.setdefault(kind, []).append(
                    name if name.startswith("arn:") else _ARNS[call.service](call, kind, name)
                )
    if call.service == "rds" and call.operation in _RESTORES and "og" not in found:
        found["og"] = [_rds_arn(call, "og", _DEFAULT_OPTION_GROUP)]
    if call.service == "logs" and not found:
        # As CloudWatch Logs writes it in its own errors.
        found["log-group"] = [f"arn:aws:logs:{call.region}:{call.account}:log-group::log-stream:"]
    return found


def _rds_kind(arn: str) -> str:
    return arn.split(":")[5]


def _iam_arn(call: Call, kind: str, name: str) -> str:
    """Return the ARN, with the path of what is there."""
    iam = iam_backends[call.account]["aws"]
    kinds: dict[str, list[Any]] = {
        "role": list(iam.roles.values()),
        "instance-profile": list(iam.instance_profiles.values()),
        "user": list(iam.users.values()),
    }
    known = kinds.get(kind, [])
    path = call.parameters.get("Path") or next((one.path for one in known if one.name == name), "/")
    return f"arn:aws:iam::{call.account}:{kind}{path or '/'}{name}"


def _alarm_arn(call: Call, kind: str, name: str) -> str:
    return f"arn:aws:cloudwatch:{call.region}:{call.account}:{kind}:{name}"


def _budget_arn(call: Call, kind: str, name: str) -> str:
    return f"arn:aws:budgets::{call.account}:{kind}/{name}"


def _lambda_arn(call: Call, kind: str, name: str) -> str:
    del kind
    short = name.rpartition(":function:")[2]
    qualifier = call.parameters.get("Qualifier")
    return f"arn:aws:lambda:{call.region}:{call.account}:function:{short}" + (
        f":{qualifier}" if qualifier and qualifier != "$LATEST" else ""
    )


def _logs_arn(call: Call, kind: str, name: str) -> str:
    stream = call.parameters.get("logStreamName", "")
    return f"arn:aws:logs:{call.region}:{call.account}:{kind}:{name}:log-stream:{stream}"


def _rds_arn(call: Call, kind: str, name: str) -> str:
    return f"arn:aws:rds:{call.region}:{call.account}:{kind}:{name.lower()}"


def _secret_arn(call: Call, kind: str, name: str) -> str:
    del kind
    secret = secretsmanager_backends[call.account][call.region].secrets.get(name)
    arn = f"arn:aws:secretsmanager:{call.region}:{call.account}:secret:{name}"
    return secret.arn if secret is not None else arn


def _quota_arn(call: Call, kind: str, name: str) -> str:
    del kind
    quota = call.parameters.get("QuotaCode", "*")
    return f"arn:aws:servicequotas:{call.region}:{call.account}:{name}/{quota}"


def _topic_arn(call: Call, kind: str, name: str) -> str:
    del kind
    return f"arn:aws:sns:{call.region}:{call.account}:{name}"


_ARNS: dict[str, Callable[[Call, str, str], str]] = {
    "budgets": _budget_arn,
    "cloudwatch": _alarm_arn,
    "iam": _iam_arn,
    "lambda": _lambda_arn,
    "logs": _logs_arn,
    "rds": _rds_arn,
    "secretsmanager": _secret_arn,
    "servicequotas": _quota_arn,
    "sns": _topic_arn,
}


def _endpoint(call: Call) -> Need:
    """Return what a call of API Gateway needs: its method on its path.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/security_iam_service-with-iam.html
    """
    arn = f"arn:aws:apigateway:{call.region}::{call.path.removeprefix('/v2')}"
    kind = _endpoint_kind(arn)
    keys = request_tags(_given_tags(call)) | tags.keys(arn, call.account, call.region)
    return Need(f"apigateway:{call.method}", arn, kind, keys)


def _endpoint_kind(arn: str) -> str:
    """Return the kind of resource that an ARN of API Gateway is of."""
    action = actions.find("apigateway:GET")
    for name, kind in action.types.items() if action else ():
        pattern = re.sub(r"\\\$\\\{\w+\\\}", "[^/]*", re.escape(kind.arn))
        if name and re.fullmatch(pattern.replace("arn:[^/]*:", "arn:aws:"), arn):
            return name
    return ""
