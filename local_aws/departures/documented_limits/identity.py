"""Rules of IAM and Secrets Manager, beside their models'.

moto itself knows the recovery window of secrets.
"""

from __future__ import annotations

import re

from local_aws.departures.documented_limits.rule import Rule, matches

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
    Rule(
        ("secretsmanager:CreateSecret",),
        "Name",
        matches(r"[A-Za-z0-9/_+=.@-]+"),
        "ValidationException",
        "Invalid name. Must be a valid name containing alphanumeric characters, or any of the "
        "following: -/_+=.@!",
        "https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html",
    ),
)
