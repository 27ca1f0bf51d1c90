"""A deployment whose creation ended anywhere can be deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import LocalAws

# At what site.yml ends, in the order in which it comes to it.
LAST_ACTIONS = [
    "ec2:CreateSubnet",
    "s3:PutBucketPolicy",
    "ec2:AuthorizeSecurityGroupIngress",
    "iam:PutRolePolicy",
    "iam:AddRoleToInstanceProfile",
    "rds:CreateDBParameterGroup",
    "rds:CreateDBInstance",
    "ec2:RunInstances",
    "ec2:AssociateAddress",
    "lambda:CreateFunction",
    "lambda:AddPermission",
    "logs:CreateLogDelivery",
]
QUICK = {"rds:CreateDBParameterGroup"}


@pytest.mark.parametrize(
    "action",
    [
        pytest.param(action, marks=() if action in QUICK else pytest.mark.slow)
        for action in LAST_ACTIONS
    ],
)
def test_destroy_of_an_incomplete_deployment_leaves_nothing(aws: LocalAws, action: str) -> None:
    with aws.denied(action):
        built = aws.play("site.yml")
    half = aws.resources("prov")
    destroyed = aws.play("playbooks/destroy.yml", "-e", "confirm=prov", "-e", "purge=true")

    assert built.returncode != 0, built.output
    assert action in aws.actions
    assert half
    assert destroyed.returncode == 0, destroyed.output
    assert "Nothing is left of prov" in destroyed.output
    assert aws.resources("prov") == []
