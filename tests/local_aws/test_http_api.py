"""HTTP APIs: a request reaches the function and comes back."""

from __future__ import annotations

import base64
import concurrent.futures
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    from tests.conftest import LocalAws

SOURCE = """
import base64, json, time
def handler(event, context):
    match event["rawPath"].removeprefix("/other"):
        case "/event":
            return {"statusCode": 201, "headers": {"X-One": "1"}, "cookies": ["a=1", "b=2"],
                    "body": json.dumps(event)}
        case "/bytes":
            return {"statusCode": 200, "isBase64Encoded": True,
                    "headers": {"content-type": "application/octet-stream"},
                    "body": base64.b64encode(bytes(range(256))).decode()}
        case "/large":
            return {"statusCode": 200, "body": "x" * 6_000_000}
        case "/fails":
            raise ValueError
        case "/malformed":
            return {"statusCode": "x"}
        case "/slow":
            time.sleep(3)
        case _:
            return {"plain": True}
"""
ROUTES = ("GET /event", "POST /event", "GET /users/{id}", "GET /{any+}")


class Api:
    """The API under test."""

    def __init__(self, aws: LocalAws, http: requests.Session, function: str) -> None:
        self.aws = aws
        self.http = http
        self.function = function
        self.client = aws.client("apigatewayv2")
        made = self.client.create_api(Name="api", ProtocolType="HTTP")
        self.id, self.endpoint = made["ApiId"], made["ApiEndpoint"]
        configuration = aws.client("lambda").get_function_configuration(FunctionName=function)
        self.arn = configuration["FunctionArn"]
        for key in ROUTES:
            self.route(key)

    def route(self, key: str, milliseconds: int = 30000) -> None:
        integration = self.client.create_integration(
            ApiId=self.id,
            IntegrationType="AWS_PROXY",
            IntegrationUri=self.arn,
            PayloadFormatVersion="2.0",
            TimeoutInMillis=milliseconds,
        )["IntegrationId"]
        self.client.create_route(ApiId=self.id, RouteKey=key, Target=f"integrations/{integration}")

    def permit(self) -> None:
        self.aws.client("lambda").add_permission(
            FunctionName=self.function,
            StatementId=self.id,
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn=f"arn:aws:execute-api:us-east-1:123456789012:{self.id}/*/*",
        )

    def stage(self, name: str = "$default", **settings: Any) -> None:
        self.client.create_stage(ApiId=self.id, StageName=name, AutoDeploy=True, **settings)

    def get(self, path: str, **how: Any) -> requests.Response:
        return self.http.get(self.endpoint + path, **how)


@pytest.fixture
def bare_api(
    aws: LocalAws, http: requests.Session, make_function: Callable[..., Any]
) -> Iterator[Api]:
    made = Api(aws, http, make_function(SOURCE, Timeout=10, MemorySize=256).name)
    yield made
    made.client.delete_api(ApiId=made.id)


@pytest.fixture
def api(bare_api: Api) -> Api:
    bare_api.stage()
    bare_api.permit()
    return bare_api


def test_request_becomes_an_event_and_the_result_a_response(api: Api) -> None:
    answer = api.get("/event?a=1&a=2&b=%20c", headers={"Cookie": "k=v", "X-Own": "x"})
    assert answer.status_code == 201
    assert answer.headers["x-one"] == "1"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.cookies.get_dict() == {"a": "1", "b": "2"}
    assert answer.headers["apigw-requestid"]
    event = answer.json()
    assert event["routeKey"] == "GET /event"
    assert event["rawQueryString"] == "a=1&a=2&b=%20c"
    assert event["queryStringParameters"] == {"a": "1,2", "b": " c"}
    assert event["cookies"] == ["k=v"]
    assert event["headers"]["x-own"] == "x"
    assert event["headers"]["x-forwarded-proto"] == "https"
    assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"
    assert "body" not in event


def test_body_reaches_the_function(api: Api) -> None:
    url = f"{api.endpoint}/event"
    assert api.http.post(url, json={"a": "é"}).json()["body"] == r'{"a": "\u00e9"}'
    chunks = api.http.post(url, data=iter([b"a", b"b"]), headers={"Content-Type": "text/csv"})
    assert chunks.json()["body"] == "ab"
    raw = api.http.post(url, data=b"\0\xff", headers={"Content-Type": "image/png"}).json()
    assert raw["isBase64Encoded"]
    assert base64.b64decode(raw["body"]) == b"\0\xff"


def test_encoded_result_arrives_as_bytes(api: Api) -> None:
    assert api.get("/bytes").content == bytes(range(256))


def test_result_without_status_is_json(api: Api) -> None:
    answer = api.get("/anything")
    assert (answer.status_code, answer.json()) == (200, {"plain": True})
    assert answer.headers["content-type"] == "application/json"


def test_large_result_is_complete(api: Api) -> None:
    assert len(api.get("/large").content) == 6_000_000


def test_path_variable_is_decoded(api: Api) -> None:
    answer = api.get("/users/a%20b")
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/fails", "/malformed"])
def test_failing_function_is_an_internal_error(api: Api, path: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.json()) == (500, {"message": "Internal Server Error"})


def test_slow_function_is_unavailable(api: Api) -> None:
    api.route("GET /slow", milliseconds=500)
    # The time of a cold start counts, too.
    assert api.get("/anything").status_code == 200
    answer = api.get("/slow")
    assert (answer.status_code, answer.json()) == (503, {"message": "Service Unavailable"})


def test_route_that_does_not_exist_is_not_found(api: Api) -> None:
    answer = api.http.delete(f"{api.endpoint}/event")
    assert (answer.status_code, answer.json()) == (404, {"message": "Not Found"})
    assert api.http.get(f"{api.endpoint[:-1]}/event").status_code == 404


def test_head_has_no_body(api: Api) -> None:
    api.route("HEAD /bytes")
    answer = api.http.head(f"{api.endpoint}/bytes")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "256"


def test_without_permission_the_function_is_not_called(bare_api: Api) -> None:
    bare_api.stage()
    assert bare_api.get("/event").status_code == 500
    bare_api.permit()
    assert bare_api.get("/event").status_code == 201


def test_without_a_stage_nothing_is_found(bare_api: Api) -> None:
    bare_api.permit()
    assert bare_api.get("/event").status_code == 404
    bare_api.stage("other")
    assert bare_api.get("/event").status_code == 404
    event = bare_api.get("/other/event").json()
    assert (event["rawPath"], event["requestContext"]["stage"]) == ("/other/event", "other")


def test_requests_at_once_are_all_answered(api: Api) -> None:
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: api.get("/anything").status_code, range(50)))
    assert set(answers) == {200}


def test_stage_throttle_refuses_requests_above_its_rate(api: Api) -> None:
    api.client.update_stage(
        ApiId=api.id,
        StageName="$default",
        DefaultRouteSettings={"ThrottlingBurstLimit": 2, "ThrottlingRateLimit": 0.01},
    )
    assert [api.get("/anything").status_code for _ in range(4)] == [200, 200, 429, 429]


def test_access_log_has_a_line_per_request(api: Api, aws: LocalAws) -> None:
    logs = aws.client("logs")
    logs.create_log_group(logGroupName="/api")
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:/api"
    form = "$context.httpMethod $context.routeKey $context.status $context.unknown"
    form += " $context.requestId"
    api.client.update_stage(
        ApiId=api.id,
        StageName="$default",
        AccessLogSettings={"DestinationArn": arn, "Format": form},
    )
    api.get("/event")
    api.client.delete_access_log_settings(ApiId=api.id, StageName="$default")
    api.get("/event")
    entries = logs.filter_log_events(logGroupName="/api")["events"]
    ((message, _, request),) = [entry["message"].rpartition(" ") for entry in entries]
    assert message == "GET GET /event 201 -"
    assert len(request) > 1
    logs.delete_log_group(logGroupName="/api")


def test_stage_carries_tags(api: Api) -> None:
    arn = f"arn:aws:apigateway:us-east-1::/apis/{api.id}/stages/$default"
    api.client.tag_resource(ResourceArn=arn, Tags={"a": "1", "b": "2"})
    api.client.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert api.client.get_stage(ApiId=api.id, StageName="$default")["Tags"] == {"b": "2"}


def test_create_of_an_existing_route_is_refused(api: Api) -> None:
    with pytest.raises(ClientError, match="ConflictException"):
        api.client.create_route(ApiId=api.id, RouteKey="GET /event")
    with pytest.raises(ClientError, match="ConflictException"):
        api.stage()


def test_cors_headers_follow_the_configuration(api: Api) -> None:
    api.client.update_api(
        ApiId=api.id,
        CorsConfiguration={"AllowOrigins": ["https://a.example"], "AllowMethods": ["GET"]},
    )
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    preflight = api.http.options(f"{api.endpoint}/event", headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-methods"] == "GET"
    assert (
        api.get("/event", headers=asked).headers["access-control-allow-origin"]
        == "https://a.example"
    )
    other = api.get("/event", headers={"Origin": "https://b.example"})
    assert "access-control-allow-origin" not in other.headers
