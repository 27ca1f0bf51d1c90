"""Write docs/iam/deploy-policy.json from the actions that local AWS has asked for.

With --check only compare; with the name of a deployment print the policy for it. What is needed
is in docs/iam/actions/, a file per suite of tests, which the suites hold true.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from action_patterns import shorten

ROOT = Path(__file__).resolve().parent.parent
ACTIONS = ROOT / "docs/iam/actions"
TARGET = ROOT / "docs/iam/deploy-policy.json"

# IAM takes a pattern for the partition, so that one policy serves aws, aws-cn and aws-us-gov.
# Stands for the name of the deployment; what is named or tagged otherwise is out of reach.
NAME = "mlflow"
REQUEST_TAG = {"aws:RequestTag/Deployment": NAME}
RESOURCE_TAG = {"aws:ResourceTag/Deployment": NAME}

# What makes things in EC2, alone or in others that have to be the deployment's.
MAKES = ["AllocateAddress", "CreateInternetGateway", "CreateVpc", "ImportKeyPair"]
MAKES_IN_OTHERS = [
    "CreateRouteTable",
    "CreateSecurityGroup",
    "CreateSubnet",
    "CreateVpcEndpoint",
    "RunInstances",
]
# These know no single resource.
LOOK = [
    "cloudwatch:DescribeAlarms",
    "ec2:Describe*",
    "freetier:GetAccountPlanState",
    "iam:ListAccountAliases",
    "iam:ListInstanceProfiles",
    "iam:ListRoles",
    "lambda:ListFunctions",
    "logs:DescribeLogGroups",
    "rds:Describe*",
    "s3:ListAllMyBuckets",
    "secretsmanager:ListSecrets",
    "servicequotas:*",
    "sns:ListTopics",
]
# API Gateway delivers the access log, for which it knows no single resource; SNS knows none of a
# subscription.
WITHOUT_RESOURCE = ["logs:*LogDeliver*", "logs:*ResourcePolic*", "sns:Unsubscribe"]


@dataclass(frozen=True)
class Statement:
    """A statement of the policy.

    Attributes
    ----------
    actions
        Patterns; of what is needed, the policy names each action that fits one.
    without
        Patterns of actions that are not meant, although they fit.
    """

    sid: str
    actions: list[str]
    resources: list[str]
    condition: dict[str, Any] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)

    def of(self, needed: set[str]) -> list[str]:
        """Return which of the actions needed the statement allows."""
        return sorted(
            action
            for action in needed
            if any(fnmatchcase(action, pattern) for pattern in self.actions)
            and not any(fnmatchcase(action, pattern) for pattern in self.without)
        )


STATEMENTS = [
    Statement("Look", LOOK, ["*"]),
    # Without the deployment's tag nothing is made in the network, and only what has it is changed.
    Statement(
        "CreateWithTag",
        [f"ec2:{action}" for action in (*MAKES, *MAKES_IN_OTHERS)],
        ["*"],
        {"StringEquals": REQUEST_TAG},
    ),
    Statement(
        "TagWhatIsCreated",
        ["ec2:CreateTags"],
        ["*"],
        {"StringEquals": REQUEST_TAG, "Null": {"ec2:CreateAction": "false"}},
    ),
    Statement(
        "ChangeWhatIsTagged",
        ["ec2:*"],
        ["*"],
        {"StringEquals": RESOURCE_TAG},
        ["ec2:Describe*", *(f"ec2:{action}" for action in MAKES)],
    ),
    Statement(
        "Launch",
        ["ec2:RunInstances"],
        ["arn:*:ec2:*::image/*", "arn:*:ec2:*:*:network-interface/*"],
    ),
    # The network's default group has no tag when its rules are taken away.
    Statement(
        "CloseDefaultGroup",
        ["ec2:RevokeSecurityGroup*"],
        ["*"],
        {"Null": {"aws:ResourceTag/Deployment": "true"}},
    ),
    Statement(
        "PassRoles",
        ["iam:PassRole"],
        [f"arn:*:iam::*:role/{NAME}-*"],
        {
            "StringEquals": {
                "iam:PassedToService": [
                    "ec2.amazonaws.com",
                    "ec2.amazonaws.com.cn",
                    "lambda.amazonaws.com",
                    "monitoring.rds.amazonaws.com",
                ]
            }
        },
    ),
    Statement(
        "RoleOfRds",
        ["iam:CreateServiceLinkedRole"],
        ["arn:*:iam::*:role/aws-service-role/rds.amazonaws.com/*"],
        {"StringEquals": {"iam:AWSServiceName": "rds.amazonaws.com"}},
    ),
    Statement("WithoutResource", WITHOUT_RESOURCE, ["*"]),
    # An instance belongs to an option group, which is the default one here.
    Statement(
        "NamedAfterDeployment",
        [
            f"{service}:*"
            for service in (
                *("apigateway", "budgets", "cloudwatch", "iam", "lambda", "logs", "rds", "s3"),
                *("secretsmanager", "sns"),
            )
        ],
        [
            "arn:*:apigateway:*::/apis*",
            "arn:*:apigateway:*::/tags/*",
            f"arn:*:budgets::*:budget/{NAME}-*",
            f"arn:*:cloudwatch:*:*:alarm:{NAME}-*",
            f"arn:*:iam::*:role/{NAME}-*",
            f"arn:*:iam::*:instance-profile/{NAME}-*",
            f"arn:*:lambda:*:*:function:{NAME}-*",
            f"arn:*:logs:*:*:log-group:/aws/*/{NAME}-*",
            f"arn:*:rds:*:*:*:{NAME}-*",
            "arn:*:rds:*:*:og:default*",
            f"arn:*:s3:::{NAME}-*",
            f"arn:*:secretsmanager:*:*:secret:{NAME}/*",
            f"arn:*:sns:*:*:{NAME}-*",
        ],
        without=[*LOOK, *WITHOUT_RESOURCE, "iam:PassRole", "iam:CreateServiceLinkedRole"],
    ),
]


def policy(needed: set[str]) -> dict[str, Any]:
    """Return the policy that gives these actions and no other.

    Raises
    ------
    ValueError
        When an action fits no statement.
    """
    statements, left = [], set(needed)
    for statement in STATEMENTS:
        actions = statement.of(needed)
        left -= set(actions)
        if actions:
            written = {
                "Sid": statement.sid,
                "Effect": "Allow",
                "Action": one_or_list(shorten(actions)),
                "Resource": one_or_list(statement.resources),
            }
            condition = {"Condition": statement.condition} if statement.condition else {}
            statements.append(written | condition)
    if left:
        raise ValueError(f"no statement is for {', '.join(sorted(left))}")
    return {"Version": "2012-10-17", "Statement": statements}


def one_or_list(values: list[str]) -> str | list[str]:
    """Return the value that is alone by itself: IAM counts each character."""
    return values[0] if len(values) == 1 else values


def recorded() -> set[str]:
    """Return every action of the files in docs/iam/actions/."""
    return {line for file in ACTIONS.glob("*.txt") for line in file.read_text().split()}


def main() -> int:
    """Write or compare; or print the policy for one deployment."""
    if sys.argv[1:] and not sys.argv[1].startswith("-"):
        print(TARGET.read_text().replace(NAME, sys.argv[1]), end="")
        return 0
    text = json.dumps(policy(recorded()), indent=2) + "\n"
    if "--check" in sys.argv[1:]:
        if TARGET.read_text() == text:
            return 0
        print(f"{TARGET.relative_to(ROOT)} is not what the calls need: run `make docs`.")
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
