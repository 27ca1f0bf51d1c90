"""The host's role is allowed what the sender calls in its log group, and nothing else there."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from local_aws.authorization.policies import Policies, Request, evaluate
from tests.conftest import ROOT

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/demo-mlflow-host-us-east-1"
GROUP = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/mlflow/demo-host"
VARIABLES = {
    "aws_s3": {"arn": "arn:aws:s3:::demo-mlflow"},
    "aws_environment": {"AWS_REGION": "us-east-1"},
    "__aws_iam_account": {"account": ACCOUNT},
    "aws_iam_host_log_group": "/mlflow/demo-host",
}


def policy() -> dict[str, Any]:
    """Return the policy of role aws_iam, rendered."""
    found = yaml.safe_load((ROOT / "roles/aws_iam/vars/main.yml").read_text())
    document: dict[str, Any] = found["__aws_iam_log_policy"]
    [statement] = document["Statement"]
    templar = Templar(DataLoader(), VARIABLES)
    statement["Resource"] = str(templar.template(trust_as_template(statement["Resource"])))
    return document


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("logs:CreateLogStream", f"{GROUP}:log-stream:", True),
        ("logs:PutLogEvents", f"{GROUP}:log-stream:ip-10-0-1-5", True),
        ("logs:PutLogEvents", f"{GROUP}-of-another:log-stream:x", False),
        ("logs:PutLogEvents", GROUP.replace("demo", "other") + ":log-stream:x", False),
        ("logs:PutLogEvents", GROUP.replace("us-east-1", "eu-west-1") + ":log-stream:x", False),
        ("logs:CreateLogGroup", f"{GROUP}:*", False),
        ("logs:DeleteLogGroup", f"{GROUP}:*", False),
        ("logs:DeleteLogStream", f"{GROUP}:log-stream:x", False),
        ("logs:GetLogEvents", f"{GROUP}:log-stream:x", False),
        ("logs:PutRetentionPolicy", f"{GROUP}:*", False),
    ],
)
def test_host_may_write_streams_of_its_group_only(
    action: str, resource: str, *, allowed: bool
) -> None:
    request = Request(action, resource, (ROLE,), ACCOUNT, {})

    assert evaluate(request, Policies(identity=[policy()])).allowed is allowed
