"""The policy of docs/iam/ is made of the calls that were kept, and AWS takes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local_aws.authorization.policies import Policies, Request, evaluate
from scripts.action_patterns import matched

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
LONGEST_MANAGED_POLICY = 6144
# As roles/preflight checks.
LONGEST_NAME = 20


@pytest.fixture(scope="module")
def statements() -> list[dict[str, Any]]:
    policy = json.loads((ROOT / "docs/iam/deploy-policy.json").read_text())
    found: list[dict[str, Any]] = policy["Statement"]
    return found


def test_policy_is_up_to_date() -> None:
    subprocess.run([sys.executable, ROOT / "scripts/write_deploy_policy.py", "--check"], check=True)


def test_policy_with_the_longest_name_fits_a_managed_policy() -> None:
    name = "n" * LONGEST_NAME
    script = ROOT / "scripts/write_deploy_policy.py"
    text = subprocess.run(
        [sys.executable, script, name], check=True, text=True, capture_output=True
    ).stdout

    assert name in text
    assert len("".join(text.split())) <= LONGEST_MANAGED_POLICY


def test_each_action_has_a_row_in_the_mutations() -> None:
    """The suites compare the rows with their requests; a new suite needs rows, too."""
    files = ROOT / "docs/iam/actions"
    # These are called with the newest stack only, where provisioning is refused without them.
    newest = (files / "newest_stack.txt").read_text().split()
    needed = {line for file in files.glob("*.txt") for line in file.read_text().split()}
    table = (ROOT / "docs/iam/mutations.md").read_text()

    assert [one for one in sorted(needed - set(newest)) if f"| `{one}` |" not in table] == []


def test_patterns_of_actions_match_the_needed_actions_only(
    statements: list[dict[str, Any]],
) -> None:
    allowed_actions = {
        action
        for one in statements
        for pattern in listed(one["Action"])
        for action in matched(pattern)
    }
    needed = {
        line
        for file in (ROOT / "docs/iam/actions").glob("*.txt")
        for line in file.read_text().split()
    }

    assert allowed_actions == needed


def test_writing_actions_are_confined_to_the_deployment(statements: list[dict[str, Any]]) -> None:
    """By a name or a tag, but for what AWS confines by neither."""
    readers = ("Describe", "Get", "List")
    wide = [
        one for one in statements if listed(one["Resource"]) == ["*"] and "Condition" not in one
    ]
    writers = {
        action
        for one in wide
        for pattern in listed(one["Action"])
        for action in matched(pattern)
        if not action.split(":")[1].startswith(readers)
    }
    assert writers == {
        "logs:CreateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:PutResourcePolicy",
        "logs:UpdateLogDelivery",
        "sns:Unsubscribe",
    }


ACCOUNT = "123456789012"
OURS = {"aws:resourcetag/deployment": ("mlflow",)}
THEIRS: dict[str, tuple[str, ...]] = {"aws:resourcetag/deployment": ("other",)}


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("ec2:CreateTags", "instance/i-1"),
        ("ec2:TerminateInstances", "instance/i-1"),
        ("ec2:ModifyInstanceAttribute", "instance/i-1"),
        ("ec2:AuthorizeSecurityGroupIngress", "security-group/sg-1"),
        ("ec2:AuthorizeSecurityGroupEgress", "security-group/sg-1"),
        ("ec2:CreateSubnet", "vpc/vpc-1"),
        ("ec2:RunInstances", "subnet/subnet-1"),
        ("ec2:DeleteVpc", "vpc/vpc-1"),
    ],
)
def test_changes_are_confined_to_the_deployment_tag(action: str, resource: str) -> None:
    arn = f"arn:aws:ec2:us-east-1:{ACCOUNT}:{resource}"
    assert allowed(action, arn, OURS)
    assert not allowed(action, arn, THEIRS)
    assert not allowed(action, arn, {})


def test_tags_are_allowed_on_creation_only() -> None:
    arn = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/*"
    tag: dict[str, tuple[str, ...]] = {"aws:requesttag/deployment": ("mlflow",)}
    assert allowed("ec2:CreateTags", arn, tag | {"ec2:createaction": ("RunInstances",)})
    assert not allowed("ec2:CreateTags", arn, tag)


def allowed(action: str, arn: str, keys: Mapping[str, tuple[str, ...]]) -> bool:
    policy = json.loads((ROOT / "docs/iam/deploy-policy.json").read_text())
    caller = f"arn:aws:iam::{ACCOUNT}:user/deployer"
    request = Request(action, arn, (caller,), ACCOUNT, keys)
    return evaluate(request, Policies(identity=[policy])).allowed


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
