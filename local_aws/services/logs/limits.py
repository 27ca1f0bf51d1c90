"""Limits of CloudWatch Logs."""

from __future__ import annotations

from local_aws.limits.rule import Rule, one_of

_RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)

RULES = (
    Rule(
        ("logs:CreateLogGroup",),
        "logGroupName",
        lambda value, _request: not value.startswith("aws/"),
        "InvalidParameterException",
        "Log groups starting with aws/ are reserved for AWS.",
        "https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/"
        "API_CreateLogGroup.html",
    ),
    Rule(
        ("logs:PutRetentionPolicy",),
        "retentionInDays",
        one_of(*_RETENTION_DAYS),
        "InvalidParameterException",
        "1 validation error detected: Value '{value}' at 'retentionInDays' failed to satisfy "
        f"constraint: Member must satisfy enum value set: {list(_RETENTION_DAYS)}",
        "https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/"
        "API_PutRetentionPolicy.html",
    ),
)
