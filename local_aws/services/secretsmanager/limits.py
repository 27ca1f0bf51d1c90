"""Limits of Secrets Manager. moto itself checks the recovery window of secrets."""

from __future__ import annotations

from local_aws.limits.rule import Rule, matches

RULES = (
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
