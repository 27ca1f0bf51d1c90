"""Cross-origin requests, which API Gateway answers from the API's configuration."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from local_aws.services.apigatewayv2.payload import Request, Response

if TYPE_CHECKING:
    from collections.abc import Mapping


def preflight(config: Mapping[str, Any] | None, request: Request) -> Response | None:
    """Return the answer to a preflight request; None for another request, or without CORS."""
    if (
        not config
        or request.method != "OPTIONS"
        or "access-control-request-method" not in request.headers
    ):
        return None
    headers = headers_for(config, request)
    if headers:
        headers += [
            (f"access-control-allow-{what}", ",".join(config[key]))
            for what, key in (("methods", "allowMethods"), ("headers", "allowHeaders"))
            if config.get(key)
        ]
        if config.get("maxAge"):
            headers.append(("access-control-max-age", str(config["maxAge"])))
    return Response(204, headers, b"")


def headers_for(config: Mapping[str, Any] | None, request: Request) -> list[tuple[str, str]]:
    """Return the headers that a response to `request` gets."""
    origin = request.headers.get("origin")
    if not config or origin is None:
        return []
    allowed = config.get("allowOrigins") or []
    if not any(fnmatchcase(origin, pattern) for pattern in allowed):
        return []
    headers = [("access-control-allow-origin", "*" if "*" in allowed else origin)]
    if config.get("allowCredentials"):
        headers.append(("access-control-allow-credentials", "true"))
    if config.get("exposeHeaders"):
        headers.append(("access-control-expose-headers", ",".join(config["exposeHeaders"])))
    return headers
