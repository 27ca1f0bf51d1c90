# SPDX-License-Identifier: Apache-2.0
"""What the modules around HTTP APIs of API Gateway share: finding one, reading all of it."""

from __future__ import annotations

import json
import re
from typing import Any

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

# API Gateway answers ConflictException while another change to the same API is under way.
RETRY = AWSRetry.jittered_backoff(retries=8, catch_extra_error_codes=["ConflictException"])

_FUNCTION_ARN = re.compile(
    r"arn:[\w-]+:lambda:[\w-]+:\d{12}:function:[A-Za-z0-9_-]+(?::[A-Za-z0-9_$-]+)?"
)
_PLAIN_INTEGRATION = {
    "IntegrationType": "AWS_PROXY",
    "ConnectionType": "INTERNET",
    "IntegrationMethod": "POST",
}
# What neither a route nor an integration has when it was made by apigatewayv2_http_api.
_UNUSUAL_INTEGRATION = (
    "ConnectionId",
    "CredentialsArn",
    "IntegrationSubtype",
    "RequestParameters",
    "ResponseParameters",
    "TlsConfig",
)
UNUSUAL_ROUTE = ("ApiKeyRequired", "AuthorizationScopes", "AuthorizerId")


def function_of_uri(uri: str | None) -> str | None:
    """Return the ARN of the function that an integration calls, in whichever form it is stored."""
    found = _FUNCTION_ARN.search(uri or "")
    return found.group() if found else None


def is_function_arn(text: str) -> bool:
    """Return whether a text is the ARN of a function, of a version or of an alias."""
    return bool(_FUNCTION_ARN.fullmatch(text))


def find_apis(
    client: Any, *, api_id: str | None, name: str | None, search_tags: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """Return the HTTP APIs with this id, or with this name and all of these tags."""
    if api_id:
        try:
            candidates = [client.get_api(ApiId=api_id, aws_retry=True)]
        except is_boto3_error_code("NotFoundException"):
            candidates = []
    else:
        candidates = _items(client, "get_apis")
    tags = {key: str(value) for key, value in (search_tags or {}).items()}
    return [
        api
        for api in candidates
        if api["ProtocolType"] == "HTTP"
        and (api_id or name is None or api["Name"] == name)
        and tags.items() <= (api.get("Tags") or {}).items()
    ]


def read_api(client: Any, api: dict[str, Any]) -> dict[str, Any]:
    """Return one HTTP API with its routes and stages as the modules return it."""
    api_id = api["ApiId"]
    integrations = {
        integration["IntegrationId"]: integration
        for integration in _items(client, "get_integrations", ApiId=api_id)
    }
    routes = [_route_facts(r, integrations) for r in _items(client, "get_routes", ApiId=api_id)]
    stages = [
        _stage_facts(s, api["ApiEndpoint"]) for s in _items(client, "get_stages", ApiId=api_id)
    ]
    used = {route["integration_id"] for route in routes}
    return {
        "api_id": api_id,
        "api_endpoint": api["ApiEndpoint"],
        "arn": api_arn(client, api_id),
        "name": api["Name"],
        "description": api.get("Description") or "",
        "disable_execute_api_endpoint": bool(api.get("DisableExecuteApiEndpoint")),
        "cors": normal_cors(camel_dict_to_snake_dict(api.get("CorsConfiguration") or {})),
        "tags": api.get("Tags") or {},
        "routes": sorted(routes, key=lambda route: str(route["route_key"])),
        "stages": sorted(stages, key=lambda stage: str(stage["name"])),
        "unused_integrations": [
            {"integration_id": integration_id, **_integration_facts(integration)}
            for integration_id, integration in sorted(integrations.items())
            if integration_id not in used
        ],
    }


def api_arn(client: Any, api_id: str) -> str:
    """Return the ARN under which an API is tagged."""
    meta = client.meta
    return f"arn:{meta.partition}:apigateway:{meta.region_name}::/apis/{api_id}"


def normal_cors(cors: dict[str, Any]) -> dict[str, Any]:
    """Return a CORS configuration without what says nothing, and in one order and case."""
    normal: dict[str, Any] = {}
    for key, value in cors.items():
        if not value:
            continue
        if key in ("allow_headers", "expose_headers"):
            normal[key] = sorted({header.lower() for header in value})
        elif key == "allow_methods":
            normal[key] = sorted({method.upper() for method in value})
        elif key == "allow_origins":
            normal[key] = sorted(set(value))
        else:
            normal[key] = value
    return normal


def normal_log_format(text: str) -> str:
    """Return a format of access logs as it is compared: without spaces, with its keys sorted."""
    try:
        return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    except ValueError:
        return text


def _items(client: Any, operation: str, **arguments: Any) -> list[dict[str, Any]]:
    pages = RETRY(client.get_paginator(operation).paginate(**arguments).build_full_result)
    items: list[dict[str, Any]] = pages().get("Items", [])
    return items


def _integration_facts(integration: dict[str, Any]) -> dict[str, Any]:
    unusual = {key: integration[key] for key in _UNUSUAL_INTEGRATION if integration.get(key)}
    for key, usual in _PLAIN_INTEGRATION.items():
        if (integration.get(key) or usual) != usual:
            unusual[key] = integration[key]
    return {
        "lambda_arn": function_of_uri(integration.get("IntegrationUri")),
        "payload_format_version": integration.get("PayloadFormatVersion"),
        "timeout_in_millis": integration.get("TimeoutInMillis"),
        "other_settings": unusual,
    }


def _route_facts(route: dict[str, Any], integrations: dict[str, dict[str, Any]]) -> dict[str, Any]:
    integration_id = (route.get("Target") or "").removeprefix("integrations/") or None
    facts = _integration_facts(integrations.get(integration_id or "", {}))
    unusual = {key: route[key] for key in UNUSUAL_ROUTE if route.get(key)}
    return {
        "route_key": route["RouteKey"],
        "route_id": route["RouteId"],
        "integration_id": integration_id,
        **facts,
        "authorization_type": route.get("AuthorizationType") or "NONE",
        "other_settings": {**facts["other_settings"], **unusual},
    }


def _stage_facts(stage: dict[str, Any], endpoint: str) -> dict[str, Any]:
    name = stage["StageName"]
    settings = stage.get("DefaultRouteSettings") or {}
    log = stage.get("AccessLogSettings") or {}
    return {
        "name": name,
        "invoke_url": endpoint if name == "$default" else f"{endpoint}/{name}",
        "description": stage.get("Description") or "",
        "auto_deploy": bool(stage.get("AutoDeploy")),
        "throttling_burst_limit": settings.get("ThrottlingBurstLimit"),
        "throttling_rate_limit": settings.get("ThrottlingRateLimit"),
        "detailed_metrics_enabled": bool(settings.get("DetailedMetricsEnabled")),
        "access_log": {
            "destination_arn": log["DestinationArn"],
            "format": log.get("Format") or "",
        }
        if log.get("DestinationArn")
        else {},
        "tags": stage.get("Tags") or {},
    }
