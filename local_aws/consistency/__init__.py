"""Reads that lag behind changes, and calls that are throttled.

moto shows each change at once and accepts any rate of calls. On AWS a resource that was just made
might not be found, one that was just deleted might still be listed, other services do not know a
new role yet, and each account has a limited rate of calls. Whoever automates AWS has to expect it.

- `history`: what collections of moto's backends held some time ago;
- `identities`: services that do not know a new role or instance profile yet;
- `throttling`: calls that are refused because there were too many.

What lags: reads of EC2, IAM and CloudWatch Logs, the tags of RDS, and lists of secrets. S3 is
strongly consistent, and DescribeSecret and GetSecretValue are more recent than ListSecrets.

Sources:
https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Tagging.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_aws.consistency import history, identities, throttling

if TYPE_CHECKING:
    from local_aws.settings import Settings


def apply(settings: Settings) -> None:
    """Let reads lag and throttle calls, as far as the settings say so."""
    if settings.stale_seconds or settings.stale_secret_list_seconds:
        past = history.apply(settings)
        identities.apply(settings, past)
    if settings.throttled_percent:
        throttling.apply(settings)
