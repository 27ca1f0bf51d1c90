"""Limits of S3."""

from __future__ import annotations

from local_aws.limits.rule import Rule, matches

RULES = (
    Rule(
        ("s3:CreateBucket",),
        "Bucket",
        matches(
            r"(?!xn--|sthree-|amzn-s3-demo-)(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)"
            r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?<!-s3alias)(?<!--ol-s3)(?<!\.mrap)(?<!--x-s3)"
        ),
        "InvalidBucketName",
        "The specified bucket is not valid.",
        "https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html",
    ),
)
