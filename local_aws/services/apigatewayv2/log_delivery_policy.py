"""API Gateway adds the log group of an access log to the account's resource policy.

moto lets any stage have an access log. On AWS API Gateway sets up the delivery when a stage gets
its access log: the resource policy of CloudWatch Logs for log delivery gets the log group's ARN,
and stays when the stage is gone. The policy has room for 5,120 characters, and an account for 10
policies. Groups below ``/aws/vendedlogs/`` share one entry, which CloudWatch Logs adds before the
policy is full. Deployments in accounts with many APIs need to know.

Sources:
https://docs.aws.amazon.com/step-functions/latest/dg/bp-cwl.html
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutResourcePolicy.html
https://github.com/serverless/serverless/issues/10469
https://github.com/anomalyco/sst/issues/125
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from moto.apigatewayv2.exceptions import BadRequestException
from moto.apigatewayv2.responses import ApiGatewayV2Response
from moto.logs.models import logs_backends

from local_aws.patching import replace

if TYPE_CHECKING:
    from moto.logs.models import LogsBackend

    from local_aws.settings import Settings

POLICY = "AWSLogDeliveryWrite20150319"
_LONGEST = 5120
_MOST_POLICIES = 10
_SHARED = "/aws/vendedlogs/"
_TOO_LONG = (
    "Cannot enable logging. Policy document length breaking Cloudwatch Logs Constraints, "
    f"either < 1 or > {_LONGEST}"
)
_NOT_PERMITTED = "Insufficient permissions to enable logging"


def apply(settings: Settings) -> None:
    """Set up the delivery when a stage gets an access log."""
    del settings
    for operation in ("create_stage", "update_stage"):
        _guard(operation)


def document(resources: list[str]) -> str:
    """Return a policy that lets log groups and patterns receive logs."""
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": POLICY,
                    "Effect": "Allow",
                    "Principal": {"Service": ["delivery.logs.amazonaws.com"]},
                    "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                    "Resource": resources,
                }
            ],
        },
        separators=(",", ":"),
    )


def is_too_long(resources: list[str]) -> bool:
    """Return whether a policy for these log groups is longer than CloudWatch Logs allows."""
    return len(document(resources)) > _LONGEST


def _guard(operation: str) -> None:
    def set_up_first(self: ApiGatewayV2Response) -> Any:
        access_log = json.loads(self.body).get("accessLogSettings") or {}
        if access_log.get("destinationArn"):
            _admit(logs_backends[self.current_account][self.region], access_log["destinationArn"])
        return as_before(self)

    as_before = replace(ApiGatewayV2Response, operation, set_up_first)


def _admit(logs: LogsBackend, arn: str) -> None:
    """Add a log group to the resource policy.

    Raises
    ------
    BadRequestException
        When there is no room for it.
    """
    head, _, group = arn.removesuffix(":*").partition(":log-group:")
    wanted = f"{head}:log-group:{_SHARED}*" if group.startswith(_SHARED) else arn
    policy = logs.resource_policies.get(POLICY)
    if policy is None and len(logs.resource_policies) >= _MOST_POLICIES:
        raise BadRequestException(_NOT_PERMITTED)
    admitted: list[str] = []
    if policy is not None:
        [statement] = json.loads(policy.policy_document)["Statement"]
        admitted = statement["Resource"]
    if any(fnmatchcase(wanted, pattern) for pattern in admitted):
        return
    resources = [*admitted, wanted]
    if is_too_long(resources):
        raise BadRequestException(_TOO_LONG)
    logs.put_resource_policy(POLICY, document(resources))
