"""The role of the host reaches the artifacts, and not the lock of the deployment."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.mlflow_ec2.aws.plugins.action.settings_check import mappings

from local_aws.authorization.policies import Policies, Request, evaluate
from tests.conftest import ROOT

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/demo-mlflow-host-us-east-1"
BUCKET = "arn:aws:s3:::demo-mlflow"
LOCK = yaml.safe_load((ROOT / "roles/aws_s3/vars/main.yml").read_text())["__aws_s3_lock_key"]


def policy() -> dict[str, Any]:
    """Return the policy that role aws_iam gives to the host."""
    tasks = yaml.safe_load((ROOT / "roles/aws_iam/tasks/create_roles.yml").read_text())
    [document] = [
        found["policy_json"]
        for found in mappings(tasks)
        if "artifacts/*" in str(found.get("policy_json"))
    ]
    text = yaml.safe_dump(document).replace("{{ aws_s3.arn }}", BUCKET)
    rendered: dict[str, Any] = yaml.safe_load(text)
    return rendered


def test_host_lists_parts_of_artifacts_only() -> None:
    variables = yaml.safe_load((ROOT / "roles/aws_iam/vars/main.yml").read_text())
    text = yaml.safe_dump(variables["__aws_iam_presigned_policy"])
    document = yaml.safe_load(text.replace("{{ aws_s3.arn }}", BUCKET))

    [statement] = document["Statement"]
    assert statement["Action"] == "s3:ListMultipartUploadParts"
    for key, allowed in (("artifacts/1/model", True), (LOCK, False), ("recovery/1", False)):
        request = Request(statement["Action"], f"{BUCKET}/{key}", (ROLE,), ACCOUNT, {})
        assert evaluate(request, Policies(identity=[document])).allowed is allowed


@pytest.mark.parametrize(
    ("key", "allowed"), [("artifacts/1/model", True), (LOCK, False), ("artifacts", False)]
)
@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"])
def test_host_reaches_artifacts_and_not_the_lock(action: str, key: str, *, allowed: bool) -> None:
    request = Request(action, f"{BUCKET}/{key}", (ROLE,), ACCOUNT, {})

    assert evaluate(request, Policies(identity=[policy()])).allowed is allowed
