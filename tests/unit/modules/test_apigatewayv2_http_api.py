from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.apigatewayv2 import (
    function_of_uri,
    normal_cors,
    normal_log_format,
)
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.lambda_permission import (
    default_statement_id,
    is_statement_of,
    route_source,
    route_statement_id,
    split_function_arn,
    statement_facts,
)
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import RunModule, RunTasks

MODULE = "apigatewayv2_http_api"
INFO = "apigatewayv2_http_api_info"
ARN = "arn:aws:lambda:us-east-1:123456789012:function"
PLANNED_ARN = f"{ARN}:planned"
SOURCE = "arn:aws:execute-api:us-east-1:123456789012"
LOG_GROUP = "arn:aws:logs:us-east-1:123456789012:log-group:/unit/api"


def whole(function_arn: str) -> dict[str, Any]:
    """Return the parameters of an API in which every part is set."""
    return {
        "name": "unit-metrics",
        "description": "Metrics",
        "search_tags": {"Deployment": "unit"},
        "disable_execute_api_endpoint": False,
        "routes": [
            {"route_key": "GET /metrics", "lambda_arn": function_arn, "timeout_in_millis": 9000},
            {"route_key": "$default", "lambda_arn": function_arn},
        ],
        "cors": {"allow_origins": ["https://b.example", "https://a.example"], "max_age": 60},
        "stage": {
            "description": "The only one",
            "throttling_burst_limit": 20,
            "throttling_rate_limit": 10.5,
            "detailed_metrics_enabled": True,
            "access_log": {
                "destination_arn": f"{LOG_GROUP}:*",
                "format": {"time": "$context.requestTime", "status": "$context.status"},
            },
            "tags": {"Deployment": "unit", "Part": "stage"},
        },
        "tags": {"Deployment": "unit", "Project": "mlflow"},
    }


@pytest.fixture
def apis(aws: str) -> Any:
    assert aws
    return boto3.client("apigatewayv2")


@pytest.fixture
def metrics_arn(lambda_functions: dict[str, str]) -> str:
    return lambda_functions["metrics"]


def sources(function: str = "metrics") -> dict[str, str]:
    """Return what may call a function, by statement id."""
    client = boto3.client("lambda")
    try:
        policy = json.loads(client.get_policy(FunctionName=function)["Policy"])
    except client.exceptions.ResourceNotFoundException:
        return {}
    return {s["Sid"]: s["Condition"]["ArnLike"]["AWS:SourceArn"] for s in policy["Statement"]}


def test_everything_is_made_and_the_second_run_changes_nothing(
    apis: Any, run_module: RunModule, metrics_arn: str
) -> None:
    made = run_module(MODULE, **whole(metrics_arn))
    again = run_module(MODULE, **whole(metrics_arn))
    assert made["changed"]
    assert not again["changed"]
    assert again["api"] == made["api"]
    assert again["diff"]["before"] == again["diff"]["after"]

    api = made["api"]
    api_id = api["api_id"]
    stored = apis.get_api(ApiId=api_id)
    assert stored["ProtocolType"] == "HTTP"
    assert stored["Tags"] == {"Deployment": "unit", "Project": "mlflow"}
    assert stored["ApiEndpoint"] == api["api_endpoint"]
    routes = {route["RouteKey"]: route for route in apis.get_routes(ApiId=api_id)["Items"]}
    assert set(routes) == {"GET /metrics", "$default"}
    target = routes["GET /metrics"]["Target"].removeprefix("integrations/")
    integration = apis.get_integration(ApiId=api_id, IntegrationId=target)
    assert integration["IntegrationType"] == "AWS_PROXY"
    assert integration["IntegrationUri"] == metrics_arn
    assert integration["PayloadFormatVersion"] == "2.0"
    assert integration["TimeoutInMillis"] == 9000
    stage = apis.get_stage(ApiId=api_id, StageName="$default")
    assert stage["AutoDeploy"]
    assert stage["DefaultRouteSettings"] == {
        "DetailedMetricsEnabled": True,
        "ThrottlingBurstLimit": 20,
        "ThrottlingRateLimit": 10.5,
    }
    assert stage["AccessLogSettings"]["DestinationArn"] == LOG_GROUP
    assert json.loads(stage["AccessLogSettings"]["Format"])["status"] == "$context.status"
    assert stage["Tags"] == {"Deployment": "unit", "Part": "stage"}
    assert sources() == {"apigateway-unit-metrics": f"{SOURCE}:{api_id}/*/*"}


def test_check_mode_on_an_empty_account_plans_for_a_function_that_does_not_exist(
    apis: Any, run_module: RunModule
) -> None:
    planned = run_module(MODULE, check=True, **whole(PLANNED_ARN))
    assert planned["changed"]
    assert planned["api"]["api_id"] == "planned"
    assert planned["api"]["api_endpoint"].startswith("https://planned.")
    assert [route["lambda_arn"] for route in planned["api"]["routes"]] == [PLANNED_ARN] * 2
    assert planned["permissions"][0]["source_arn"] == f"{SOURCE}:planned/*/*"
    assert apis.get_apis()["Items"] == []


def test_plan_of_a_new_api_equals_the_created_api(run_module: RunModule, metrics_arn: str) -> None:
    planned = run_module(MODULE, check=True, **whole(metrics_arn))
    made = run_module(MODULE, **whole(metrics_arn))
    api_id = made["api"]["api_id"]
    after = json.loads(json.dumps(planned["diff"]["after"]).replace("planned", api_id))
    assert after == made["diff"]["after"]
    assert planned["api"].keys() == made["api"].keys()
    for part in ("routes", "stages"):
        assert planned["api"][part][0].keys() == made["api"][part][0].keys()


def test_missing_function_fails_before_anything_is_made(apis: Any, run_module: RunModule) -> None:
    failed = run_module(MODULE, fails=True, **whole(PLANNED_ARN))
    assert f"There is no function {PLANNED_ARN}: create it first" in failed["msg"]
    assert apis.get_apis()["Items"] == []


def change_description(apis: Any, api: dict[str, Any]) -> None:
    apis.update_api(ApiId=api["api_id"], Description="by hand")


def change_cors(apis: Any, api: dict[str, Any]) -> None:
    apis.update_api(ApiId=api["api_id"], CorsConfiguration={"AllowOrigins": ["*"]})


def remove_cors(apis: Any, api: dict[str, Any]) -> None:
    apis.delete_cors_configuration(ApiId=api["api_id"])


def disable_endpoint(apis: Any, api: dict[str, Any]) -> None:
    apis.update_api(ApiId=api["api_id"], DisableExecuteApiEndpoint=True)


def change_tags(apis: Any, api: dict[str, Any]) -> None:
    apis.tag_resource(ResourceArn=api["arn"], Tags={"Project": "x", "Foreign": "y"})


def remove_tag(apis: Any, api: dict[str, Any]) -> None:
    apis.untag_resource(ResourceArn=api["arn"], TagKeys=["Project"])


def delete_route(apis: Any, api: dict[str, Any]) -> None:
    apis.delete_route(ApiId=api["api_id"], RouteId=api["routes"][0]["route_id"])


def add_route(apis: Any, api: dict[str, Any]) -> None:
    target = f"integrations/{api['routes'][0]['integration_id']}"
    apis.create_route(ApiId=api["api_id"], RouteKey="GET /open", Target=target)


def sign_route(apis: Any, api: dict[str, Any]) -> None:
    route_id = api["routes"][0]["route_id"]
    apis.update_route(ApiId=api["api_id"], RouteId=route_id, AuthorizationType="AWS_IAM")


def require_key(apis: Any, api: dict[str, Any]) -> None:
    route_id = api["routes"][0]["route_id"]
    apis.update_route(ApiId=api["api_id"], RouteId=route_id, ApiKeyRequired=True)


def detach_route(apis: Any, api: dict[str, Any]) -> None:
    route_id = api["routes"][0]["route_id"]
    apis.update_route(ApiId=api["api_id"], RouteId=route_id, Target="integrations/gone")


def change_integration(**changes: Any) -> Callable[[Any, dict[str, Any]], None]:
    def change(apis: Any, api: dict[str, Any]) -> None:
        integration_id = api["routes"][0]["integration_id"]
        apis.update_integration(ApiId=api["api_id"], IntegrationId=integration_id, **changes)

    return change


def add_integration(apis: Any, api: dict[str, Any]) -> None:
    apis.create_integration(
        ApiId=api["api_id"],
        IntegrationType="HTTP_PROXY",
        IntegrationMethod="GET",
        IntegrationUri="https://example.org",
        PayloadFormatVersion="1.0",
    )


def change_stage(**changes: Any) -> Callable[[Any, dict[str, Any]], None]:
    def change(apis: Any, api: dict[str, Any]) -> None:
        apis.update_stage(ApiId=api["api_id"], StageName="$default", **changes)

    return change


def delete_stage(apis: Any, api: dict[str, Any]) -> None:
    apis.delete_stage(ApiId=api["api_id"], StageName="$default")


def remove_access_log(apis: Any, api: dict[str, Any]) -> None:
    apis.delete_access_log_settings(ApiId=api["api_id"], StageName="$default")


def change_stage_tags(apis: Any, api: dict[str, Any]) -> None:
    arn = f"{api['arn']}/stages/$default"
    apis.tag_resource(ResourceArn=arn, Tags={"Foreign": "y"})
    apis.untag_resource(ResourceArn=arn, TagKeys=["Part"])


def remove_permission(apis: Any, api: dict[str, Any]) -> None:
    assert apis
    assert api
    boto3.client("lambda").remove_permission(
        FunctionName="metrics", StatementId="apigateway-unit-metrics"
    )


def widen_permission(apis: Any, api: dict[str, Any]) -> None:
    remove_permission(apis, api)
    boto3.client("lambda").add_permission(
        FunctionName="metrics",
        StatementId="apigateway-unit-metrics",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
        SourceArn=f"{SOURCE}:*",
    )


def add_permission(apis: Any, api: dict[str, Any]) -> None:
    assert apis
    boto3.client("lambda").add_permission(
        FunctionName="metrics",
        StatementId="by-hand",
        Action="lambda:*",
        Principal="apigateway.amazonaws.com",
        SourceArn=f"{SOURCE}:{api['api_id']}/dev/GET/x",
    )


@pytest.mark.parametrize(
    "meddle",
    [
        change_description,
        change_cors,
        remove_cors,
        disable_endpoint,
        change_tags,
        remove_tag,
        delete_route,
        add_route,
        sign_route,
        require_key,
        detach_route,
        change_integration(TimeoutInMillis=50),
        change_integration(PayloadFormatVersion="1.0"),
        change_integration(IntegrationUri=f"{ARN}:other"),
        change_integration(RequestParameters={"overwrite:path": "/x"}),
        change_integration(CredentialsArn="arn:aws:iam::123456789012:role/x"),
        add_integration,
        change_stage(AutoDeploy=False),
        change_stage(Description="by hand"),
        change_stage(DefaultRouteSettings={"ThrottlingBurstLimit": 1}),
        change_stage(AccessLogSettings={"DestinationArn": LOG_GROUP, "Format": "$context.ip"}),
        delete_stage,
        remove_access_log,
        change_stage_tags,
        remove_permission,
        widen_permission,
        add_permission,
    ],
)
def test_drift_is_planned_and_repaired(
    apis: Any,
    run_module: RunModule,
    metrics_arn: str,
    meddle: Callable[[Any, dict[str, Any]], None],
) -> None:
    made = run_module(MODULE, **whole(metrics_arn))
    api_id = made["api"]["api_id"]
    meddle(apis, made["api"])
    meddled = run_module(INFO, api_id=api_id)["apis"]

    planned = run_module(MODULE, check=True, **whole(metrics_arn))
    assert planned["changed"]
    assert run_module(INFO, api_id=api_id)["apis"] == meddled
    repaired = run_module(MODULE, **whole(metrics_arn))
    assert repaired["changed"]
    assert repaired["diff"] == planned["diff"]
    assert repaired["diff"]["after"] == made["diff"]["after"]
    assert repaired["permissions"] == made["permissions"]
    assert not run_module(MODULE, **whole(metrics_arn))["changed"]
    assert len(apis.get_apis()["Items"]) == 1


def test_parameters_that_are_not_set_stay_unchanged(
    run_module: RunModule, metrics_arn: str
) -> None:
    made = run_module(MODULE, **whole(metrics_arn))
    same = run_module(MODULE, name="unit-metrics", stage={"auto_deploy": True})
    assert not same["changed"]
    assert same["api"] == made["api"]


def test_empty_parts_are_removed(apis: Any, run_module: RunModule, metrics_arn: str) -> None:
    made = run_module(MODULE, **whole(metrics_arn))
    empty: dict[str, Any] = {
        **whole(metrics_arn),
        "cors": {},
        "routes": [],
        "stage": {"access_log": {}, "tags": {}},
    }
    emptied = run_module(MODULE, **empty)
    assert emptied["api"]["cors"] == {}
    assert emptied["api"]["routes"] == []
    assert emptied["api"]["stages"][0]["access_log"] == {}
    assert emptied["api"]["stages"][0]["tags"] == {}
    assert emptied["api"]["stages"][0]["throttling_burst_limit"] == 20
    assert apis.get_integrations(ApiId=made["api"]["api_id"])["Items"] == []
    assert sources() == {}
    assert not run_module(MODULE, **empty)["changed"]


def test_foreign_routes_and_tags_are_kept_on_request(
    apis: Any, run_module: RunModule, metrics_arn: str
) -> None:
    made = run_module(MODULE, **whole(metrics_arn))
    add_route(apis, made["api"])
    add_integration(apis, made["api"])
    add_permission(apis, made["api"])
    change_stage_tags(apis, made["api"])
    params: dict[str, Any] = {**whole(metrics_arn), "purge_routes": False, "purge_tags": False}
    params["routes"] = params["routes"][:1]
    kept = run_module(MODULE, **params)
    assert kept["changed"]
    keys = [route["route_key"] for route in kept["api"]["routes"]]
    assert keys == ["$default", "GET /metrics", "GET /open"]
    assert len(kept["api"]["unused_integrations"]) == 1
    assert set(sources()) == {"by-hand", "apigateway-unit-metrics"}
    assert kept["api"]["stages"][0]["tags"] == {
        "Deployment": "unit",
        "Part": "stage",
        "Foreign": "y",
    }
    assert not run_module(MODULE, **params)["changed"]


def test_other_stages_and_other_apis_are_left_alone(
    apis: Any, run_module: RunModule, metrics_arn: str
) -> None:
    foreign = apis.create_api(Name="foreign", ProtocolType="HTTP")["ApiId"]
    boto3.client("lambda").add_permission(
        FunctionName="metrics",
        StatementId="foreign",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
        SourceArn=f"{SOURCE}:{foreign}/*/*",
    )
    made = run_module(MODULE, **whole(metrics_arn))
    apis.create_stage(ApiId=made["api"]["api_id"], StageName="dev")
    again = run_module(MODULE, **whole(metrics_arn))
    assert not again["changed"]
    assert [stage["name"] for stage in again["api"]["stages"]] == ["$default", "dev"]
    assert again["api"]["stages"][1]["invoke_url"].endswith("/dev")
    run_module(MODULE, name="unit-metrics", state="absent")
    assert [api["ApiId"] for api in apis.get_apis()["Items"]] == [foreign]
    assert set(sources()) == {"foreign"}


def test_purge_permissions_removes_other_callers(run_module: RunModule, metrics_arn: str) -> None:
    run_module(MODULE, **whole(metrics_arn))
    functions = boto3.client("lambda")
    functions.add_permission(
        FunctionName="metrics",
        StatementId="stranger",
        Action="lambda:InvokeFunction",
        Principal="999999999999",
    )
    assert not run_module(MODULE, **whole(metrics_arn))["changed"]
    alone = {**whole(metrics_arn), "purge_permissions": True}
    plan = run_module(MODULE, check=True, **alone)
    assert plan["changed"]
    assert "stranger" in plan["diff"]["before"]["permissions"][metrics_arn]
    assert "stranger" in policy_ids(functions)
    repaired = run_module(MODULE, **alone)
    assert repaired["changed"]
    assert policy_ids(functions) == {"apigateway-unit-metrics"}
    assert not run_module(MODULE, **alone)["changed"]


def policy_ids(functions: Any) -> set[str]:
    policy = json.loads(functions.get_policy(FunctionName="metrics")["Policy"])
    return {statement["Sid"] for statement in policy["Statement"]}


def test_route_moves_to_another_function_with_the_permission(
    apis: Any, run_module: RunModule, lambda_functions: dict[str, str]
) -> None:
    made = run_module(MODULE, **whole(lambda_functions["metrics"]))
    moved = run_module(MODULE, **whole(lambda_functions["other"]))
    api_id = made["api"]["api_id"]
    assert moved["api"]["api_id"] == api_id
    assert {route["lambda_arn"] for route in moved["api"]["routes"]} == {lambda_functions["other"]}
    assert sources("metrics") == {}
    assert sources("other") == {"apigateway-unit-metrics": f"{SOURCE}:{api_id}/*/*"}
    assert len(apis.get_integrations(ApiId=api_id)["Items"]) == 2
    # The routes are the same ones: nobody who asked meanwhile got a 404.
    before = {route["route_key"]: route["route_id"] for route in made["api"]["routes"]}
    assert before == {route["route_key"]: route["route_id"] for route in moved["api"]["routes"]}


def test_permission_of_each_route_names_its_method_and_path(
    run_module: RunModule, metrics_arn: str
) -> None:
    params: dict[str, Any] = {
        **whole(metrics_arn),
        "lambda_permission": "route",
        "statement_id": "scrape",
    }
    made = run_module(MODULE, **params)
    prefix = f"{SOURCE}:{made['api']['api_id']}"
    assert sources() == {
        route_statement_id("scrape", "GET /metrics"): f"{prefix}/*/GET/metrics",
        route_statement_id("scrape", "$default"): f"{prefix}/*/$default",
    }
    assert not run_module(MODULE, **params)["changed"]
    run_module(MODULE, **{**params, "lambda_permission": "api"})
    assert sources() == {"scrape": f"{prefix}/*/*"}


def test_policies_are_left_alone_on_request(run_module: RunModule) -> None:
    params: dict[str, Any] = {**whole(PLANNED_ARN), "lambda_permission": "none"}
    made = run_module(MODULE, **params)
    assert made["changed"]
    assert made["permissions"] == []
    assert not run_module(MODULE, **params)["changed"]


def test_api_deleted_by_hand_comes_back_and_takes_over_the_permission(
    apis: Any, run_module: RunModule, metrics_arn: str
) -> None:
    made = run_module(MODULE, **whole(metrics_arn))
    apis.delete_api(ApiId=made["api"]["api_id"])
    back = run_module(MODULE, **whole(metrics_arn))
    assert back["api"]["api_id"] != made["api"]["api_id"]
    assert sources() == {"apigateway-unit-metrics": f"{SOURCE}:{back['api']['api_id']}/*/*"}


def test_interrupted_creation_is_completed(
    apis: Any, run_module: RunModule, metrics_arn: str
) -> None:
    half = apis.create_api(Name="unit-metrics", ProtocolType="HTTP", Tags={"Deployment": "unit"})
    made = run_module(MODULE, **whole(metrics_arn))
    assert made["api"]["api_id"] == half["ApiId"]
    assert len(made["api"]["routes"]) == 2


def test_absent_removes_api_and_permission_once(
    apis: Any, run_module: RunModule, metrics_arn: str
) -> None:
    made = run_module(MODULE, **whole(metrics_arn))
    gone: dict[str, Any] = {
        "name": "unit-metrics",
        "search_tags": {"Deployment": "unit"},
        "state": "absent",
    }
    planned = run_module(MODULE, check=True, **gone)
    assert planned["changed"]
    assert sources()
    removed = run_module(MODULE, **gone)
    assert removed["changed"]
    assert removed["api"] == made["api"]
    assert removed["diff"] == planned["diff"]
    assert removed["diff"]["after"] == {}
    assert apis.get_apis()["Items"] == []
    assert sources() == {}
    assert not run_module(MODULE, **gone)["changed"]


def test_absent_works_when_the_function_went_first(
    apis: Any, run_module: RunModule, metrics_arn: str
) -> None:
    run_module(MODULE, **whole(metrics_arn))
    boto3.client("lambda").delete_function(FunctionName="metrics")
    assert run_module(MODULE, name="unit-metrics", state="absent")["changed"]
    assert apis.get_apis()["Items"] == []


def test_permission_left_by_an_api_deleted_by_hand_is_removed(
    apis: Any, run_module: RunModule, metrics_arn: str
) -> None:
    made = run_module(MODULE, **whole(metrics_arn))
    apis.delete_api(ApiId=made["api"]["api_id"])
    params: dict[str, Any] = {**whole(metrics_arn), "state": "absent"}
    assert run_module(MODULE, **params)["changed"]
    assert sources() == {}
    assert not run_module(MODULE, **params)["changed"]


def test_search_tags_distinguish_deployments(run_module: RunModule, metrics_arn: str) -> None:
    params: dict[str, Any] = {**whole(metrics_arn), "statement_id": "first"}
    first = run_module(MODULE, **params)
    other: dict[str, Any] = {
        **whole(metrics_arn),
        "statement_id": "second",
        "search_tags": {"Deployment": "other"},
        "tags": {"Deployment": "other"},
    }
    second = run_module(MODULE, **other)
    assert first["api"]["api_id"] != second["api"]["api_id"]
    assert not run_module(MODULE, **params)["changed"]
    found = run_module(INFO, name="unit-metrics", search_tags={"Deployment": "other"})["apis"]
    assert found == [second["api"]]
    assert len(run_module(INFO, name="unit-metrics")["apis"]) == 2


def test_name_that_is_not_unique_needs_an_id(
    apis: Any, run_module: RunModule, metrics_arn: str
) -> None:
    ids = [apis.create_api(Name="unit-metrics", ProtocolType="HTTP")["ApiId"] for _ in range(2)]
    params: dict[str, Any] = {**whole(metrics_arn), "search_tags": None}
    for state in ("present", "absent"):
        failed = run_module(MODULE, fails=True, **{**params, "state": state})
        assert "set api_id" in failed["msg"]
        assert all(api_id in failed["msg"] for api_id in ids)
    made = run_module(MODULE, api_id=ids[1], **params)
    assert made["api"]["api_id"] == ids[1]


def test_api_id_renames(run_module: RunModule, metrics_arn: str) -> None:
    made = run_module(MODULE, **whole(metrics_arn))
    api_id = made["api"]["api_id"]
    renamed = run_module(MODULE, **{**whole(metrics_arn), "name": "new", "api_id": api_id})
    assert renamed["api"]["name"] == "new"
    assert list(sources()) == ["apigateway-new"]


def test_unknown_id_is_an_error_for_present_alone(run_module: RunModule) -> None:
    failed = run_module(MODULE, fails=True, api_id="nosuchapi", name="x")
    assert "leave api_id out" in failed["msg"]
    assert not run_module(MODULE, api_id="nosuchapi", state="absent")["changed"]
    assert run_module(INFO, api_id="nosuchapi")["apis"] == []


def test_websocket_api_of_the_same_name_is_another_one(
    apis: Any, run_module: RunModule, metrics_arn: str
) -> None:
    apis.create_api(
        Name="unit-metrics", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.x"
    )
    assert run_module(INFO, name="unit-metrics")["apis"] == []
    params: dict[str, Any] = {**whole(metrics_arn), "search_tags": None}
    assert run_module(MODULE, **params)["changed"]


def test_version_of_a_function_gets_the_permission(run_module: RunModule, metrics_arn: str) -> None:
    version = boto3.client("lambda").publish_version(FunctionName="metrics")["Version"]
    params = whole(f"{metrics_arn}:{version}")
    made = run_module(MODULE, **params)
    assert made["permissions"][0]["function_arn"] == f"{metrics_arn}:{version}"
    assert not run_module(MODULE, **params)["changed"]


@pytest.mark.parametrize(
    ("params", "cure"),
    [
        ({"routes": [{"route_key": "get /metrics", "lambda_arn": PLANNED_ARN}]}, "in capitals"),
        ({"routes": [{"route_key": "/metrics", "lambda_arn": PLANNED_ARN}]}, "in capitals"),
        ({"routes": [{"route_key": "GET /", "lambda_arn": "metrics"}]}, "give the ARN"),
        ({"routes": [{"route_key": "GET /", "lambda_arn": PLANNED_ARN}] * 2}, "keep one"),
        (
            {
                "routes": [
                    {"route_key": "$default", "lambda_arn": ARN + ":f", "timeout_in_millis": 1}
                ]
            },
            "give 50 to 30000",
        ),
        ({"stage": {"access_log": {"format": "$context.ip"}}}, "both destination_arn and format"),
        ({"statement_id": "a b"}, "letters, digits"),
    ],
)
def test_bad_parameter_is_named_with_its_cure(
    run_module: RunModule, params: dict[str, Any], cure: str
) -> None:
    assert cure in run_module(MODULE, name="unit-metrics", fails=True, **params)["msg"]


def test_playbook_creates_repeats_and_deletes(run_tasks: RunTasks, metrics_arn: str) -> None:
    make = {f"mlflow_ec2.aws.{MODULE}": whole(metrics_arn)}
    find = {
        f"mlflow_ec2.aws.{INFO}": {"name": "unit-metrics", "search_tags": {"Deployment": "unit"}}
    }
    gone = {f"mlflow_ec2.aws.{MODULE}": {"name": "unit-metrics", "state": "absent"}}
    results, _ = run_tasks({**make, "check_mode": True}, make, make, find, gone, gone)
    changes = [result["changed"] for result in results]
    assert changes == [True, True, False, False, True, False]
    assert results[3]["apis"] == [results[1]["api"]]


@pytest.mark.parametrize(
    ("uri", "arn"),
    [
        (f"{ARN}:f", f"{ARN}:f"),
        (f"{ARN}:f:live", f"{ARN}:f:live"),
        (
            f"arn:aws:apigateway:r:lambda:path/2015-03-31/functions/{ARN}:f:live/invocations",
            f"{ARN}:f:live",
        ),
        ("https://example.org", None),
        (None, None),
    ],
)
def test_function_is_found_in_each_form_of_a_uri(uri: str | None, arn: str | None) -> None:
    assert function_of_uri(uri) == arn


def test_version_is_split_from_the_arn() -> None:
    assert split_function_arn(f"{ARN}:f") == {"FunctionName": f"{ARN}:f"}
    assert split_function_arn(f"{ARN}:f:7") == {"FunctionName": f"{ARN}:f", "Qualifier": "7"}


@pytest.mark.parametrize(
    ("route_key", "source"),
    [
        ("GET /metrics", "*/GET/metrics"),
        ("ANY /{proxy+}", "*/*/*"),
        ("POST /runs/{id}/log", "*/POST/runs/*/log"),
        ("$default", "*/$default"),
    ],
)
def test_source_of_a_route_covers_its_paths(route_key: str, source: str) -> None:
    assert route_source(route_key) == source


@given(name=st.text(min_size=1, max_size=200), route_key=st.text(max_size=50))
def test_statement_ids_are_valid_and_known_again(name: str, route_key: str) -> None:
    base = default_statement_id(name)
    statement_id = route_statement_id(base, route_key)
    assert is_statement_of(base, base)
    assert is_statement_of(base, statement_id)
    assert len(statement_id) <= 100
    assert all(c.isascii() and (c.isalnum() or c in "-_") for c in statement_id)


def test_statement_with_more_conditions_is_another_one() -> None:
    plain = {
        "Sid": "s",
        "Effect": "Allow",
        "Principal": {"Service": "apigateway.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Condition": {"ArnLike": {"AWS:SourceArn": f"{SOURCE}:a/*/*"}},
    }
    limited = {
        **plain,
        "Condition": {
            "ArnLike": {"aws:SourceArn": f"{SOURCE}:a/*/*"},
            "StringEquals": {"aws:SourceAccount": "1"},
        },
    }
    assert statement_facts(plain)["source_arn"] == statement_facts(limited)["source_arn"]
    assert statement_facts(plain) != statement_facts(limited)
    assert statement_facts({**plain, "Principal": {"AWS": "*"}})["principal"] == '{"AWS": "*"}'
    assert statement_facts({**plain, "Principal": "*"})["principal"] == "*"


def test_cors_is_the_same_in_any_order_and_case() -> None:
    left = {"allow_headers": ["B", "a"], "allow_methods": ["get"], "max_age": 0}
    right = {"allow_headers": ["a", "b"], "allow_methods": ["GET"], "allow_credentials": False}
    assert normal_cors(left) == normal_cors(right)


def test_log_format_is_the_same_in_any_order() -> None:
    assert normal_log_format('{"b": 1, "a": 2}') == normal_log_format('{"a":2,"b":1}')
    assert normal_log_format("$context.ip") == "$context.ip"
