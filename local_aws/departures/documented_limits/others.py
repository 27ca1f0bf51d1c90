"""Rules of API Gateway, CloudWatch Logs and S3."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from moto.apigatewayv2.models import apigatewayv2_backends

from local_aws.departures.documented_limits.rule import Rule, matches, one_of

if TYPE_CHECKING:
    from local_aws.departures.documented_limits.rule import Request

_ROUTE = re.compile(
    r"\$default|(ANY|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) "
    r"/(([^/{}]+|\{[^/{}+]+\})/)*([^/{}]*|\{[^/{}+]+\+?\})"
)
_RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)


def _is_route_of_http(key: str, request: Request) -> bool:
    """Say so; the routes of a WebSocket API have other keys."""
    apis = apigatewayv2_backends[request.account][request.region].apis
    api = apis.get(request.parameters["ApiId"])
    return api is None or api.protocol_type != "HTTP" or _ROUTE.fullmatch(key) is not None


RULES = (
    Rule(
        ("apigatewayv2:CreateRoute", "apigatewayv2:UpdateRoute"),
        "RouteKey",
        _is_route_of_http,
        "BadRequestException",
        "The provided route key is not formatted properly for HTTP protocol: {value}",
        "https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html",
    ),
    Rule(
        ("apigatewayv2:CreateIntegration", "apigatewayv2:UpdateIntegration"),
        "PayloadFormatVersion",
        one_of("1.0", "2.0"),
        "BadRequestException",
        "Invalid payload format version: {value}",
        "https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/"
        "apis-apiid-integrations.html",
    ),
    Rule(
        ("apigatewayv2:CreateStage", "apigatewayv2:UpdateStage"),
        "AccessLogSettings.Format",
        lambda value, _request: "$context.requestId" in value,
        "BadRequestException",
        "The format of access logs must include at least $context.requestId",
        "https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-stages.html",
    ),
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
