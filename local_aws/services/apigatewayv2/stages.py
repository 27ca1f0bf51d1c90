"""Stages of an HTTP API can be changed, and tagged by their own ARN.

moto 5.2.5 creates and deletes stages, but lacks UpdateStage, DeleteAccessLogSettings and the tags
of a stage's ARN. AWS has them; whoever repairs a stage that somebody changed needs them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from moto.apigatewayv2 import urls
from moto.apigatewayv2.responses import ApiGatewayV2Response

if TYPE_CHECKING:
    from moto.apigatewayv2.models import Stage

    from local_aws.settings import Settings

Reply = tuple[int, dict[str, str], str]

_STAGE = "{0}/v2/apis/(?P<api_id>[^/]+)/stages/(?P<stage_name>[^/]+)"
_TAGS = "{0}/v2/tags/(?P<arn>[^/]+)/apis/(?P<api_id>[^/]+)/stages/(?P<stage_name>[^/]+)$"
_ATTRIBUTES = {
    "accessLogSettings": "access_log_settings",
    "autoDeploy": "auto_deploy",
    "defaultRouteSettings": "default_route_settings",
    "description": "description",
    "routeSettings": "route_settings",
    "stageVariables": "stage_variables",
}


def apply(settings: Settings) -> None:
    """Add the operations that moto leaves out."""
    del settings
    for operation in (update_stage, delete_access_log_settings):
        if hasattr(ApiGatewayV2Response, operation.__name__):
            raise AttributeError(f"moto has {operation.__name__} by now: this departure can go")
        setattr(ApiGatewayV2Response, operation.__name__, operation)
    urls.url_paths[f"{_STAGE}/accesslogsettings$"] = ApiGatewayV2Response.dispatch
    urls.url_paths[_TAGS] = tag_stage


def update_stage(response: ApiGatewayV2Response) -> Reply:
    """Change the settings that the request names."""
    stage = _stage(response)
    for key, value in json.loads(response.body).items():
        setattr(stage, _ATTRIBUTES[key], value)
    return 200, {}, json.dumps(stage.to_json())


def delete_access_log_settings(response: ApiGatewayV2Response) -> Reply:
    """Turn the access log off."""
    _stage(response).access_log_settings = None
    return 204, {}, ""


def tag_stage(request: Any, full_url: str, headers: Any) -> Reply:
    """Set or remove tags of a stage."""
    response = ApiGatewayV2Response()
    response.setup_class(request, full_url, headers)
    tags = _stage(response).tags
    if request.method == "DELETE":
        for key in response.querystring["tagKeys"]:
            tags.pop(key, None)
    else:
        tags.update(json.loads(response.body)["tags"])
    return 201, {}, "{}"


def _stage(response: ApiGatewayV2Response) -> Stage:
    parts = unquote(response.path).split("/apis/")[-1].split("/")
    return response.apigatewayv2_backend.get_api(parts[0]).get_stage(parts[2])
