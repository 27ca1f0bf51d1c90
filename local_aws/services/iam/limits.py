"""Limits of IAM."""

from __future__ import annotations

import re

from local_aws.limits.rule import Rule

_ROLE_POLICY_CHARACTERS = 10240

RULES = (
    # IAM counts the policies of a role together; here each is compared with the limit by itself.
    Rule(
        ("iam:PutRolePolicy",),
        "PolicyDocument",
        lambda value, _request: len(re.sub(r"\s", "", value)) <= _ROLE_POLICY_CHARACTERS,
        "LimitExceeded",
        f"Maximum policy size of {_ROLE_POLICY_CHARACTERS} bytes exceeded for role",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html",
    ),
)
