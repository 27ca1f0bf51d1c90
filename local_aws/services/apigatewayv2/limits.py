"""Limits of API Gateway."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from moto.apigatewayv2.models import apigatewayv2_backends

from local_aws.limits.rule import Rule, one_of

if TYPE_CHECKING:
    from local_aws.limits.rule import Request

_ROUTE = re.compile(
    r"\$default|(ANY|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) "
    r"/(([^/{}]+|\{[^/{}+]+\})/)*([^/{}]*|\{[^/{}+]+\+?\})"
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
)
