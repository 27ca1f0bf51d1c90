"""The policy of docs/iam/ is made of the calls that were kept, and AWS takes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
LONGEST_MANAGED_POLICY = 6144


@pytest.fixture(scope="module")
def statements() -> list[dict[str, Any]]:
    policy = json.loads((ROOT / "docs/iam/deploy-policy.json").read_text())
    found: list[dict[str, Any]] = policy["Statement"]
    return found


def test_policy_is_up_to_date() -> None:
    subprocess.run([sys.executable, ROOT / "scripts/write_deploy_policy.py", "--check"], check=True)


def test_policy_fits_a_managed_policy() -> None:
    text = (ROOT / "docs/iam/deploy-policy.json").read_text()

    assert len("".join(text.split())) <= LONGEST_MANAGED_POLICY


def test_no_action_is_allowed_by_a_pattern_or_twice(statements: list[dict[str, Any]]) -> None:
    actions = [action for statement in statements for action in statement["Action"]]

    assert not [action for action in actions if "*" in action]
    assert len(actions) == len(set(actions))


def test_what_writes_and_can_be_named_is_not_allowed_everywhere(
    statements: list[dict[str, Any]],
) -> None:
    [everywhere] = [statement for statement in statements if statement["Sid"] == "Everywhere"]
    readers = ("Describe", "Get", "List")
    writers = {
        action.split(":")[0]
        for action in everywhere["Action"]
        if not action.split(":")[1].startswith(readers)
    }

    # Most of EC2's resources have no name; deliveries of logs have none either.
    assert writers == {"ec2", "logs"}
