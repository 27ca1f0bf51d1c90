"""The data plane: HTTP requests to the endpoint of an API reach its function and come back.

Errors are those of AWS: 404 where no route fits, 429 where the stage throttles, 500 where the
function fails or the permission to call it is missing, 503 where it takes longer than the
integration allows.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from moto.apigatewayv2.models import apigatewayv2_backends
from moto.awslambda.models import lambda_backends

from local_aws.errors import LocalAwsError
from local_aws.services.apigatewayv2 import access_log, cors, payload, routing
from local_aws.services.apigatewayv2.payload import Request, Response, Target
from local_aws.services.apigatewayv2.throttle import Throttle
from local_aws.services.awslambda.pools import ThrottledError
from local_aws.services.awslambda.states import ConflictError, NotReadyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIEnvironment

    from local_aws.services.awslambda.pools import Functions
    from local_aws.settings import Settings

BODY_BYTES = 10 * 1024 * 1024
# Beside the integrations' own threads, so that these cannot use up the server's.
SLOW_CALLS = 32

NOT_FOUND = payload.message(404, "Not Found")
FORBIDDEN = payload.message(403, "Forbidden")
TOO_LARGE = payload.message(413, "Request Entity Too Large")
TOO_MANY = payload.message(429, "Too Many Requests")
ERROR = payload.message(500, "Internal Server Error")
UNAVAILABLE = payload.message(503, "Service Unavailable")


@dataclass(frozen=True)
class _Place:
    """An API's stage, and the path below it."""

    account: str
    region: str
    api: Any
    stage: Any


class Gateway:
    """WSGI application below ``/_local/execute-api/``."""

    def __init__(self, settings: Settings, functions: Functions) -> None:
        """Serve the APIs that moto knows."""
        self._settings = settings
        self._functions = functions
        self._throttle = Throttle()
        self._slow = ThreadPoolExecutor(SLOW_CALLS, "http-api")

    def __call__(
        self, path: str, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer a request to ``<api id>/<path>``."""
        api_id, _, rest = path.partition("/")
        # Ours, not WSGI's: the path is latin-1 there.
        request = _request(environ, "/" + rest.encode("latin-1").decode(errors="replace"))
        request_id = base64.b64encode(os.urandom(11)).decode()
        answer = self._answer(api_id, request, request_id)
        headers = [
            *answer.headers,
            ("apigw-requestid", request_id),
            ("content-length", str(len(answer.body))),
        ]
        start_response(f"{answer.status} {_phrase(answer.status)}", headers)
        return [] if request.method == "HEAD" else [answer.body]

    def close(self) -> None:
        """Take no more calls."""
        self._slow.shutdown(wait=False, cancel_futures=True)

    def _answer(self, api_id: str, request: Request, request_id: str) -> Response:
        place = _find(api_id, request.path)
        if place is None or place.api.disable_execute_api_endpoint or not place.stage.auto_deploy:
            # moto has no deployments: a stage that does not deploy by itself has none.
            return NOT_FOUND
        config = place.api.cors_configuration
        answered = cors.preflight(config, request)
        if answered is not None:
            return answered
        below = _below(place.stage.name, request.path)
        match = routing.find(
            (route.route_key for route in place.api.routes.values()), request.method, below
        )
        began = time.time()
        if match is None:
            answer = NOT_FOUND
        else:
            target = Target(
                account=place.account,
                api_id=api_id,
                stage=place.stage.name,
                route_key=match.route_key,
                path_parameters=match.parameters,
                stage_variables=place.stage.stage_variables or {},
                request_id=request_id,
            )
            answer = self._call(place, request, target)
        answer = Response(
            answer.status, [*answer.headers, *cors.headers_for(config, request)], answer.body
        )
        if place.stage.access_log_settings:
            key = match.route_key if match else "-"
            values = _context(place, request, request_id, key, answer, began)
            access_log.write(place.stage.access_log_settings, place.account, values)
        return answer

    def _call(self, place: _Place, request: Request, target: Target) -> Response:
        route = next(
            route for route in place.api.routes.values() if route.route_key == target.route_key
        )
        refusal = self._refusal(place, route, request, target)
        if refusal is not None:
            return refusal
        integration = place.api.integrations.get((route.target or "").rpartition("/")[2])
        function = integration and _callee(place, integration, target)
        if function is None:
            return ERROR
        event = json.dumps(payload.event(request, target, time.time())).encode()
        return self._invoke(function, event, integration.timeout_in_millis / 1000, target)

    def _refusal(
        self, place: _Place, route: Any, request: Request, target: Target
    ) -> Response | None:
        if not self._lets_through(place, target):
            return TOO_MANY
        if len(request.body) > BODY_BYTES:
            return TOO_LARGE
        if route.authorization_type not in {None, "NONE"}:
            _say(target, f"authorization by {route.authorization_type} is not there: refused")
            return FORBIDDEN
        return None

    def _invoke(self, function: Any, event: bytes, seconds: float, target: Target) -> Response:
        try:
            if function.timeout <= seconds:
                outcome = self._functions.invoke(function, event)
            else:
                # The function runs on, as it does on AWS, but nobody waits for it any longer.
                call = self._slow.submit(self._functions.invoke, function, event)
                outcome = call.result(seconds)
        except (ThrottledError, TimeoutError):
            return UNAVAILABLE
        except (ConflictError, NotReadyError) as error:
            _say(target, f"{function.function_name} is not active: {error}")
            return ERROR
        except LocalAwsError as error:
            _say(target, f"{function.function_name} cannot be started: {error}")
            return ERROR
        if outcome.error is not None:
            return ERROR
        try:
            return payload.response(outcome.payload)
        except payload.MalformedResultError as error:
            _say(target, f"the result of {function.function_name} is not a response: {error}")
            return ERROR

    def _lets_through(self, place: _Place, target: Target) -> bool:
        settings = {
            **(place.stage.default_route_settings or {}),
            **((place.stage.route_settings or {}).get(target.route_key) or {}),
        }
        rate, burst = settings.get("throttlingRateLimit"), settings.get("throttlingBurstLimit")
        if rate is None and burst is None:
            return True
        key = (target.api_id, target.stage, target.route_key, rate, burst)
        return self._throttle.allows(
            key, float("inf") if rate is None else rate, sys.maxsize if burst is None else burst
        )


def _request(environ: WSGIEnvironment, path: str) -> Request:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    source = environ["REMOTE_ADDR"]
    headers |= {
        "x-forwarded-for": ", ".join(filter(None, (headers.get("x-forwarded-for"), source))),
        "x-forwarded-port": environ["SERVER_PORT"],
        "x-forwarded-proto": environ["wsgi.url_scheme"],
    }
    # One byte more shows that it is too long.
    body = environ["wsgi.input"].read(min(length, BODY_BYTES + 1)) if length else b""
    return Request(
        method=environ["REQUEST_METHOD"],
        path=path,
        query=environ.get("QUERY_STRING", ""),
        headers=headers,
        body=body,
        source_ip=source,
        protocol=environ["SERVER_PROTOCOL"],
    )


def _find(api_id: str, path: str) -> _Place | None:
    """Find an API and the stage that a path names, or ``$default``."""
    for account, regions in list(apigatewayv2_backends.items()):
        for region, backend in list(regions.items()):
            api = backend.apis.get(api_id)
            if api is not None:
                named = path.removeprefix("/").partition("/")[0]
                stage = api.stages.get(named) or api.stages.get(routing.DEFAULT)
                return _Place(account, region, api, stage) if stage else None
    return None


def _below(stage: str, path: str) -> str:
    return path if stage == routing.DEFAULT else path.removeprefix(f"/{stage}") or "/"


def _callee(place: _Place, integration: Any, target: Target) -> Any | None:
    """Return the function to call; None if it is missing, or permission to call it is."""
    function = _function(place, integration.integration_uri)
    if function is None:
        _say(target, f"the function {integration.integration_uri} does not exist")
    elif integration.payload_format_version != "2.0":
        _say(target, f"payload format {integration.payload_format_version} is not there")
    elif not _may_call(place, function, target):
        _say(target, f"API Gateway has no permission to invoke {function.function_name}")
    else:
        return function
    return None


def _function(place: _Place, uri: str | None) -> Any | None:
    """Return the function that an integration calls; None if it does not exist."""
    found = re.search(r"arn:aws[a-z-]*:lambda:([a-z0-9-]+):(\d+):function:([^/]+)", uri or "")
    if found is None or found[1] != place.region or found[2] != place.account:
        return None
    name, _, qualifier = found[3].partition(":")
    storage = lambda_backends[place.account][place.region]._lambdas  # noqa: SLF001 - its public way raises
    if name not in storage._functions:  # noqa: SLF001 - as above
        return None
    return storage.get_function_by_name_with_qualifier(name, qualifier or None)


def _may_call(place: _Place, function: Any, target: Target) -> bool:
    """Say whether the function's policy lets this route of the API call it."""
    method, _, path = target.route_key.partition(" ")
    resource = "$default" if target.route_key == routing.DEFAULT else f"{method}{path}"
    if method == "ANY":
        resource = f"*{path}"
    source = (
        f"arn:aws:execute-api:{place.region}:{place.account}:{target.api_id}"
        f"/{target.stage}/{resource}"
    )
    return any(_allows(statement, source) for statement in function.policy.statements)


def _allows(statement: Mapping[str, Any], source: str) -> bool:
    actions = statement["Action"]
    if isinstance(actions, str):
        actions = [actions]
    principal = statement["Principal"]
    services = principal.get("Service") if isinstance(principal, dict) else principal
    condition = statement.get("Condition", {}).get("ArnLike", {}).get("AWS:SourceArn")
    return (
        statement["Effect"] == "Allow"
        and bool({"lambda:InvokeFunction", "lambda:*", "*"} & set(actions))
        and services in {"apigateway.amazonaws.com", "*"}
        and (condition is None or _like(condition, source))
    )


def _like(pattern: str, text: str) -> bool:
    """Compare as ArnLike does: a star stands for anything."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, text) is not None


def _context(  # noqa: PLR0913, PLR0917 - the facts of one request
    place: _Place,
    request: Request,
    request_id: str,
    route_key: str,
    answer: Response,
    began: float,
) -> dict[str, object]:
    return {
        "accountId": place.account,
        "apiId": place.api.api_id,
        "httpMethod": request.method,
        "identity.sourceIp": request.source_ip,
        "identity.userAgent": request.headers.get("user-agent", "-"),
        "path": request.path,
        "protocol": request.protocol,
        "requestId": request_id,
        "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(began)),
        "requestTimeEpoch": int(began * 1000),
        "responseLatency": round((time.time() - began) * 1000),
        "responseLength": len(answer.body),
        "routeKey": route_key,
        "stage": place.stage.name,
        "status": answer.status,
    }


def _say(target: Target, text: str) -> None:
    """Log what AWS would not show to anybody."""
    print(f"http api {target.api_id} {target.route_key}: {text}", file=sys.stderr, flush=True)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
