"""Write docs/iam/deploy-policy.json from the calls that local AWS has kept.

With --check only compare. What is called stands in docs/iam/operations/, a file per suite of tests,
which the suites hold true.
"""

from __future__ import annotations

import json
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import botocore.session

ROOT = Path(__file__).resolve().parent.parent
OPERATIONS = ROOT / "docs/iam/operations"
TARGET = ROOT / "docs/iam/deploy-policy.json"

# Stands for the name of the deployment; what is named otherwise is out of reach.
NAME = "mlflow"

# Where the names of permissions differ from those of operations.
# https://docs.aws.amazon.com/service-authorization/latest/reference/
SERVICES = {"service-quotas": "servicequotas"}
ACTIONS = {
    # Anybody may ask who he is.
    "sts:GetCallerIdentity": None,
    "lambda:Invoke": "lambda:InvokeFunction",
}

# What AWS asks for besides, where it sees something that is no call of its own.
BESIDES = {
    # Tags that are given with what is created.
    "ec2:CreateVpc": ["ec2:CreateTags"],
    "iam:CreateRole": ["iam:TagRole", "iam:PassRole"],
    "iam:CreateInstanceProfile": ["iam:TagInstanceProfile"],
    "lambda:CreateFunction": ["lambda:TagResource"],
    "logs:CreateLogGroup": ["logs:TagResource"],
    "rds:CreateDBInstance": ["rds:AddTagsToResource", "iam:CreateServiceLinkedRole"],
    "secretsmanager:CreateSecret": ["secretsmanager:TagResource"],
    # Of many objects deleted at once, versions count as such.
    "s3:DeleteObject": ["s3:DeleteObjectVersion"],
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging.html
    "apigateway:CreateStage": [
        "logs:CreateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:DescribeResourcePolicies",
        "logs:GetLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:UpdateLogDelivery",
    ],
}

# Statements in the order of the file: which actions, on what, on which condition. An action belongs
# to the first that names it.
STATEMENTS: list[tuple[str, list[str], list[str], dict[str, Any]]] = [
    (
        "DeleteWhatIsTagged",
        [
            f"ec2:{operation}"
            for operation in (
                "DeleteInternetGateway",
                "DeleteKeyPair",
                "DeleteRouteTable",
                "DeleteSecurityGroup",
                "DeleteSubnet",
                "DeleteVpc",
                "DeleteVpcEndpoints",
                "ReleaseAddress",
                "StartInstances",
                "StopInstances",
                "TerminateInstances",
            )
        ],
        ["*"],
        {"StringEquals": {"aws:ResourceTag/Deployment": NAME}},
    ),
    (
        "PassRoles",
        ["iam:PassRole"],
        [f"arn:aws:iam::*:role/{NAME}-*"],
        {
            "StringEquals": {
                "iam:PassedToService": [
                    "ec2.amazonaws.com",
                    "lambda.amazonaws.com",
                    "monitoring.rds.amazonaws.com",
                ]
            }
        },
    ),
    (
        "RoleOfRds",
        ["iam:CreateServiceLinkedRole"],
        ["*"],
        {"StringEquals": {"iam:AWSServiceName": "rds.amazonaws.com"}},
    ),
    # These know no single resource.
    (
        "Everywhere",
        [
            "ec2:*",
            "iam:ListAccountAliases",
            "iam:ListInstanceProfiles",
            "iam:ListPolicies",
            "iam:ListRoles",
            "lambda:ListFunctions",
            "logs:*LogDeliver*",
            "logs:*ResourcePolic*",
            "logs:DescribeLogGroups",
            "rds:Describe*",
            "s3:ListAllMyBuckets",
            "secretsmanager:ListSecrets",
            "servicequotas:*",
        ],
        ["*"],
        {},
    ),
    # An instance belongs to an option group, which is the default one here.
    ("Database", ["rds:*"], [f"arn:aws:rds:*:*:*:{NAME}-*", "arn:aws:rds:*:*:og:default*"], {}),
    (
        "Endpoint",
        ["apigateway:*"],
        [f"arn:aws:apigateway:*::/{path}" for path in ("apis", "apis/*", "tags/*")],
        {},
    ),
    (
        "Permissions",
        ["iam:*"],
        [f"arn:aws:iam::*:{kind}/{NAME}-*" for kind in ("role", "instance-profile")],
        {},
    ),
    ("Function", ["lambda:*"], [f"arn:aws:lambda:*:*:function:{NAME}-*"], {}),
    ("Logs", ["logs:*"], [f"arn:aws:logs:*:*:log-group:/aws/*/{NAME}-*"], {}),
    ("Artifacts", ["s3:*"], [f"arn:aws:s3:::{NAME}-*"], {}),
    ("Passwords", ["secretsmanager:*"], [f"arn:aws:secretsmanager:*:*:secret:{NAME}/*"], {}),
]


def permissions(operations: set[str]) -> set[str]:
    """Return the names of the permissions that operations need.

    Parameters
    ----------
    operations
        As local AWS keeps them, ``<service>:<operation>``.
    """
    session = botocore.session.get_session()
    verbs = session.get_service_model("apigatewayv2")
    needed: set[str] = set()
    for operation in operations:
        service, _, name = operation.partition(":")
        if service == "apigateway":
            needed.add(f"apigateway:{verbs.operation_model(name).http['method']}")
        else:
            action = ACTIONS.get(operation, f"{SERVICES.get(service, service)}:{name}")
            needed |= {action} if action else set()
        needed |= set(BESIDES.get(operation, []))
    return needed


def policy(needed: set[str]) -> dict[str, Any]:
    """Return the policy that gives these permissions and no other."""
    left, statements = set(needed), []
    for sid, patterns, resources, condition in STATEMENTS:
        actions = sorted(
            action for action in left if any(fnmatchcase(action, pattern) for pattern in patterns)
        )
        left -= set(actions)
        if actions:
            statement = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
            statements.append(statement | ({"Condition": condition} if condition else {}))
    if left:
        raise ValueError(f"no statement is for {', '.join(sorted(left))}")
    return {"Version": "2012-10-17", "Statement": statements}


def recorded() -> set[str]:
    """Return every operation of the files in docs/iam/operations/."""
    return {line for file in OPERATIONS.glob("*.txt") for line in file.read_text().split()}


def main() -> int:
    """Write or compare."""
    text = json.dumps(policy(permissions(recorded())), indent=2) + "\n"
    if "--check" in sys.argv[1:]:
        if TARGET.read_text() == text:
            return 0
        print(f"{TARGET.relative_to(ROOT)} is not what the calls need: run `make docs`.")
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
