#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: one HTTP API of Amazon API Gateway in front of Lambda functions."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: apigatewayv2_http_api
short_description: Manage an HTTP API of Amazon API Gateway
description:
  - Manages one HTTP API (API Gateway version 2) with its routes to Lambda functions, its CORS
    configuration, one stage, its tags, and the permission to call the functions.
  - The name of an API is not unique. The module finds its API by O(name) and O(search_tags), or by
    O(api_id), and fails if there is more than one.
  - In check mode, an API that does not exist yet is returned with the id C(planned); neither the
    functions nor the log group need to exist then.
author:
  - MLflow on EC2 contributors
options:
  name:
    description:
      - The name of the API.
      - With O(api_id), the API is renamed to it.
    type: str
  api_id:
    description:
      - The id of an API that exists.
    type: str
  search_tags:
    description:
      - Only APIs that carry all these tags are considered to be the one that O(name) names.
      - Name the tags that distinguish deployments, and put them into O(tags) as well.
    type: dict
  state:
    description:
      - Whether the API exists or is deleted, together with its permissions.
    type: str
    choices: ['present', 'absent']
    default: present
  description:
    description:
      - The description of the API. It stays as it is when this is not set.
    type: str
  disable_execute_api_endpoint:
    description:
      - Whether only custom domain names reach the API. It stays as it is when this is not set.
    type: bool
  cors:
    description:
      - The whole CORS configuration. An empty dictionary removes it.
      - It stays as it is when this is not set.
    type: dict
    suboptions:
      allow_credentials:
        description: Whether credentials may be sent.
        type: bool
      allow_headers:
        description: The allowed headers.
        type: list
        elements: str
      allow_methods:
        description: The allowed methods.
        type: list
        elements: str
      allow_origins:
        description: The allowed origins.
        type: list
        elements: str
      expose_headers:
        description: The exposed headers.
        type: list
        elements: str
      max_age:
        description: For how many seconds a browser may remember the answer to its question.
        type: int
  routes:
    description:
      - The routes of the API. They stay as they are when this is not set.
    type: list
    elements: dict
    suboptions:
      route_key:
        description:
          - A method (or C(ANY)) and a path, such as V(GET /metrics), or V($default).
        type: str
        required: true
      lambda_arn:
        description:
          - The ARN of the function, or of a version or alias of it.
        type: str
        required: true
      payload_format_version:
        description:
          - The form of the event that the function gets.
        type: str
        choices: ['1.0', '2.0']
        default: '2.0'
      timeout_in_millis:
        description:
          - For how many milliseconds, 50 to 30000, API Gateway waits for the function.
        type: int
        default: 30000
      authorization_type:
        description:
          - Whether callers have to sign their requests.
        type: str
        choices: ['NONE', 'AWS_IAM']
        default: NONE
  purge_routes:
    description:
      - If O(routes) is set, deletes the routes that it does not name, the integrations that no
        route uses, and the other statements for this API in the functions' policies.
    type: bool
    default: true
  stage:
    description:
      - One stage of the API. What is not set in it stays as it is; other stages do as well.
    type: dict
    suboptions:
      name:
        description:
          - The name of the stage. V($default) is served at the root of the endpoint.
        type: str
        default: $default
      description:
        description: The description of the stage.
        type: str
      auto_deploy:
        description: Whether each change of the API is deployed at once.
        type: bool
        default: true
      throttling_burst_limit:
        description: How many requests may come at once.
        type: int
      throttling_rate_limit:
        description: Number of requests per second that are admitted.
        type: float
      detailed_metrics_enabled:
        description: Whether CloudWatch gets metrics of each route.
        type: bool
      access_log:
        description: Where requests are logged. An empty dictionary turns logging off.
        type: dict
        suboptions:
          destination_arn:
            description: The ARN of a log group or of a Firehose stream.
            type: str
          format:
            description:
              - The format of an entry, as a dictionary or a string of C($context) variables.
            type: json
      tags:
        description:
          - The tags of the stage. O(purge_tags) applies to them as well.
        type: dict
  lambda_permission:
    description:
      - Which statements the module adds to the resource policies of the functions of O(routes), so
        that API Gateway can call them.
      - V(api) adds one statement for the whole API. V(route) adds one for each route. V(none) does
        not change the policies.
      - The module removes its statements from a function that no route uses any more.
    type: str
    choices: ['api', 'route', 'none']
    default: api
  statement_id:
    description:
      - The id of the statement in a function's policy; with O(lambda_permission=route), what the
        ids begin with.
      - By default C(apigateway-) and the name of the API.
    type: str
  purge_permissions:
    description:
      - Removes all other statements from the resource policies of the functions of O(routes), so
        that only this API is allowed to call them.
    type: bool
    default: false
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
"""

EXAMPLES = r"""
# These examples do not set authentication details, see the AWS Guide for details.

- name: Serve the metrics function
  mlflow_ec2.aws.apigatewayv2_http_api:
    name: demo-metrics
    description: Metrics of the latest runs
    search_tags: {Deployment: demo}
    routes:
      - route_key: GET /metrics
        lambda_arn: arn:aws:lambda:us-east-1:123456789012:function:demo-metrics
        timeout_in_millis: 10000
    cors: {}
    stage:
      throttling_burst_limit: 20
      throttling_rate_limit: 10
      access_log:
        destination_arn: arn:aws:logs:us-east-1:123456789012:log-group:/demo/api
        format:
          time: $context.requestTime
          route: $context.routeKey
          status: $context.status
      tags: {Deployment: demo}
    tags: {Deployment: demo}
  register: metrics_api

- name: Show where
  ansible.builtin.debug:
    msg: "{{ metrics_api.api.api_endpoint }}/metrics"

- name: Delete the API and the permission
  mlflow_ec2.aws.apigatewayv2_http_api:
    name: demo-metrics
    search_tags: {Deployment: demo}
    state: absent
"""

RETURN = r"""
api:
  description: The API; in check mode as it would be, with ids that are not known yet as C(planned).
  returned: when O(state=present), or when an API was or would be deleted
  type: dict
  contains:
    api_id:
      description: The id of the API.
      type: str
      sample: a1b2c3d4e5
    api_endpoint:
      description: The URL at which the stage C($default) is served.
      type: str
      sample: https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com
    arn:
      description: The ARN of the API.
      type: str
      sample: arn:aws:apigateway:us-east-1::/apis/a1b2c3d4e5
    name:
      description: The name of the API.
      type: str
      sample: demo-metrics
    description:
      description: The description of the API.
      type: str
      sample: Metrics of the latest runs
    disable_execute_api_endpoint:
      description: Whether only custom domain names reach the API.
      type: bool
      sample: false
    cors:
      description: The CORS configuration, without what is off or empty.
      type: dict
      sample: {"allow_origins": ["https://example.org"]}
    tags:
      description: The tags of the API.
      type: dict
      sample: {"Deployment": "demo"}
    routes:
      description: The routes, sorted by key, each with its integration.
      type: list
      elements: dict
      sample:
        - route_key: GET /metrics
          route_id: r1a2b3c
          integration_id: i1a2b3c
          lambda_arn: arn:aws:lambda:us-east-1:123456789012:function:demo-metrics
          payload_format_version: '2.0'
          timeout_in_millis: 10000
          authorization_type: NONE
          other_settings: {}
    stages:
      description: The stages, sorted by name.
      type: list
      elements: dict
      sample:
        - name: $default
          invoke_url: https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com
          description: ''
          auto_deploy: true
          throttling_burst_limit: 20
          throttling_rate_limit: 10.0
          detailed_metrics_enabled: false
          access_log: {}
          tags: {"Deployment": "demo"}
    unused_integrations:
      description: The integrations that no route uses.
      type: list
      elements: dict
      sample: []
permissions:
  description: The statements for this API in the policies of the functions of O(routes).
  returned: when O(state=present)
  type: list
  elements: dict
  sample:
    - function_arn: arn:aws:lambda:us-east-1:123456789012:function:demo-metrics
      statement_id: apigateway-demo-metrics
      effect: Allow
      principal: apigateway.amazonaws.com
      action: lambda:InvokeFunction
      source_arn: arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/*/*
      other_conditions: {}
"""

import copy
import re
from contextlib import suppress
from typing import Any

with suppress(ImportError):  # AnsibleAWSModule says what is missing.
    import botocore

from ansible.module_utils.common.dict_transformations import snake_dict_to_camel_dict
from ansible_collections.amazon.aws.plugins.module_utils.iam import get_aws_account_info
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import compare_aws_tags
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.apigatewayv2 import (
    RETRY,
    UNUSUAL_ROUTE,
    api_arn,
    find_apis,
    is_function_arn,
    normal_cors,
    normal_log_format,
    read_api,
)
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.lambda_permission import (
    default_statement_id,
    function_exists,
    is_for_api,
    is_statement_of,
    permission,
    read_statements,
    replace_statements,
    route_source,
    route_statement_id,
)
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.tags import wanted_tags

Settings = dict[str, Any]

_PLANNED = "planned"
_ROUTE_KEY = re.compile(r"\$default|(ANY|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) /\S*")
_STATEMENT_ID = re.compile(r"[A-Za-z0-9_-]{1,91}")
_MIN_TIMEOUT = 50
_MAX_TIMEOUT = 30_000
# Lambda answers so while a function is being changed.
_RETRY_LAMBDA = AWSRetry.jittered_backoff(
    retries=8, catch_extra_error_codes=["ResourceConflictException"]
)
_INTEGRATION_KEYS = ("lambda_arn", "payload_format_version", "timeout_in_millis")
_NEW_API: Settings = {
    "description": "",
    "disable_execute_api_endpoint": False,
    "cors": {},
    "tags": {},
    "routes": {},
    "unused_integrations": [],
    "stages": {},
}
_NEW_STAGE: Settings = {
    "description": "",
    "auto_deploy": False,
    "throttling_burst_limit": None,
    "throttling_rate_limit": None,
    "detailed_metrics_enabled": False,
    "access_log": {},
    "tags": {},
}


class HttpApiError(Exception):
    """What is wrong, and the cure."""


def check_parameters(params: dict[str, Any]) -> None:
    """Check what the argument specification cannot.

    Raises
    ------
    HttpApiError
        If a value cannot be meant.
    """
    routes = params["routes"] or []
    keys = [route["route_key"] for route in routes]
    for route in routes:
        key, arn, timeout = route["route_key"], route["lambda_arn"], route["timeout_in_millis"]
        if not _ROUTE_KEY.fullmatch(key):
            raise HttpApiError(
                f"route_key is {key!r}: give a method in capitals and a path, as 'GET /metrics', "
                "or '$default'"
            )
        if keys.count(key) > 1:
            raise HttpApiError(f"routes names {key!r} more than once: keep one")
        if not is_function_arn(arn):
            raise HttpApiError(
                f"lambda_arn of {key!r} is {arn!r}: give the ARN of a function, as "
                "arn:aws:lambda:us-east-1:123456789012:function:name"
            )
        if not _MIN_TIMEOUT <= timeout <= _MAX_TIMEOUT:
            raise HttpApiError(
                f"timeout_in_millis of {key!r} is {timeout}: give {_MIN_TIMEOUT} to {_MAX_TIMEOUT}"
            )
    statement_id = params["statement_id"]
    if statement_id is not None and not _STATEMENT_ID.fullmatch(statement_id):
        raise HttpApiError(
            f"statement_id is {statement_id!r}: give at most 91 letters, digits, '-' and '_'"
        )
    log = (params["stage"] or {}).get("access_log") or {}
    if bool(log.get("destination_arn")) != bool(log.get("format")):
        raise HttpApiError("access_log needs both destination_arn and format, or neither")


def settings_of(facts: dict[str, Any]) -> Settings:
    """Return what can be changed of an API, keyed by what it is known by, without ids."""
    settings = {key: copy.deepcopy(facts[key]) for key in ("name", *_NEW_API)}
    settings["routes"] = {
        route["route_key"]: _without(route, "route_key", "route_id", "integration_id")
        for route in facts["routes"]
    }
    settings["stages"] = {
        stage["name"]: _without(stage, "name", "invoke_url") for stage in facts["stages"]
    }
    settings["unused_integrations"] = [
        _without(integration, "integration_id") for integration in facts["unused_integrations"]
    ]
    return settings


def wanted_settings(current: Settings, params: dict[str, Any], execute_arn: str) -> Settings:
    """Return the settings that the API is to have.

    Parameters
    ----------
    current
        What it has now, with the statements of its functions under `permissions`.
    params
        The module's parameters.
    execute_arn
        The ARN, up to the API's id, on whose behalf API Gateway calls functions.
    """
    wanted = copy.deepcopy(current)
    for key in ("name", "description", "disable_execute_api_endpoint"):
        if params[key] is not None:
            wanted[key] = params[key]
    if params["cors"] is not None:
        wanted["cors"] = normal_cors(params["cors"])
    wanted["tags"] = wanted_tags(current["tags"], params["tags"], purge=params["purge_tags"])
    if params["routes"] is not None:
        if params["purge_routes"]:
            wanted["routes"] = {}
            wanted["unused_integrations"] = []
        for route in params["routes"]:
            wanted["routes"][route["route_key"]] = {
                **_without(route, "route_key"),
                "other_settings": {},
            }
        wanted["permissions"] = wanted_permissions(wanted, params, execute_arn)
    if params["stage"] is not None:
        name = params["stage"]["name"]
        stage = current["stages"].get(name) or copy.deepcopy(_NEW_STAGE)
        wanted["stages"][name] = wanted_stage(stage, params["stage"], purge=params["purge_tags"])
    return wanted


def wanted_stage(current: Settings, stage: dict[str, Any], *, purge: bool) -> Settings:
    """Return the settings that the stage is to have."""
    wanted = {
        key: current[key] if stage[key] is None else stage[key]
        for key in _NEW_STAGE
        if key not in ("access_log", "tags")
    }
    wanted["access_log"] = current["access_log"]
    if stage["access_log"] is not None:
        wanted["access_log"] = wanted_access_log(current["access_log"], stage["access_log"])
    wanted["tags"] = wanted_tags(current["tags"], stage["tags"], purge=purge)
    return wanted


def wanted_access_log(current: Settings, log: dict[str, Any]) -> Settings:
    """Return where a stage is to log and how, with the format as it is if it means the same."""
    if not log["destination_arn"]:
        return {}
    known = current.get("format", "")
    same = normal_log_format(known) == normal_log_format(log["format"])
    return {
        # The ARN of a log group is stored without the wildcard that it is listed with.
        "destination_arn": log["destination_arn"].removesuffix(":*"),
        "format": known if same else log["format"],
    }


def wanted_permissions(
    wanted: Settings, params: dict[str, Any], execute_arn: str
) -> dict[str, dict[str, Any]]:
    """Return the statements that each function is to have for this API, by function and id."""
    base = params["statement_id"] or default_statement_id(wanted["name"])
    named = {route["route_key"]: route["lambda_arn"] for route in params["routes"]}
    foreign = {route["lambda_arn"] for key, route in wanted["routes"].items() if key not in named}
    permissions: dict[str, dict[str, Any]] = {}
    for function_arn, statements in wanted["permissions"].items():
        keys = sorted(key for key, arn in named.items() if arn == function_arn)
        if not keys:
            permissions[function_arn] = statements if function_arn in foreign else {}
        elif params["lambda_permission"] == "api":
            permissions[function_arn] = {base: permission(f"{execute_arn}/*/*")}
        else:
            permissions[function_arn] = {
                route_statement_id(base, key): permission(f"{execute_arn}/{route_source(key)}")
                for key in keys
            }
        if not params["purge_routes"]:
            permissions[function_arn] = {
                **{
                    statement_id: statement
                    for statement_id, statement in statements.items()
                    if not is_statement_of(base, statement_id)
                    and is_for_api(execute_arn, statement)
                },
                **permissions[function_arn],
            }
    return permissions


def _without(mapping: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}


class HttpApi:
    """One HTTP API and what its module was asked to make of it."""

    def __init__(self, module: Any) -> None:
        self.params: dict[str, Any] = module.params
        self.check_mode: bool = module.check_mode
        self.client = module.client("apigatewayv2", retry_decorator=RETRY)
        self.functions = module.client("lambda", retry_decorator=_RETRY_LAMBDA)
        self.account, self.partition = get_aws_account_info(module)
        self.facts = self._find()

    def _find(self) -> dict[str, Any] | None:
        found = find_apis(
            self.client,
            api_id=self.params["api_id"],
            name=self.params["name"],
            search_tags=None if self.params["api_id"] else self.params["search_tags"],
        )
        if len(found) > 1:
            ids = ", ".join(sorted(api["ApiId"] for api in found))
            raise HttpApiError(
                f"{len(found)} HTTP APIs are named {self.params['name']!r} ({ids}): set api_id, or "
                "search_tags that only one of them carries"
            )
        return read_api(self.client, found[0]) if found else None

    def _execute_arn(self, api_id: str) -> str:
        region = self.client.meta.region_name
        return f"arn:{self.partition}:execute-api:{region}:{self.account}:{api_id}"

    def _permissions(self, facts: dict[str, Any] | None, name: str) -> dict[str, dict[str, Any]]:
        """Return the statements to see to, of every function that the API calls or is to call."""
        if self.params["lambda_permission"] == "none":
            return {}
        functions = {route["lambda_arn"] for route in self.params["routes"] or []}
        purge = self.params["state"] == "present" and self.params["purge_permissions"]
        own = functions if purge else set()
        base = self.params["statement_id"] or default_statement_id(name)
        execute_arn = None
        if facts:
            execute_arn = self._execute_arn(facts["api_id"])
            functions = functions | {
                user["lambda_arn"]
                for user in (*facts["routes"], *facts["unused_integrations"])
                if user["lambda_arn"]
            }

        def concerns_api(statement_id: str, statement: dict[str, Any]) -> bool:
            return is_statement_of(base, statement_id) or is_for_api(execute_arn, statement)

        return {
            function_arn: {
                statement_id: statement
                for statement_id, statement in read_statements(self.functions, function_arn).items()
                if function_arn in own or concerns_api(statement_id, statement)
            }
            for function_arn in sorted(functions)
        }

    def present(self) -> dict[str, Any]:
        """Create or update the API; return the module's result."""
        if self.facts is None and self.params["api_id"]:
            raise HttpApiError(
                f"There is no HTTP API with the id {self.params['api_id']}: leave api_id out to "
                "have one created"
            )
        before = settings_of(self.facts) if self.facts else None
        name = self.params["name"] or (before or {}).get("name", "")
        current = before or {**copy.deepcopy(_NEW_API), "name": name}
        current["permissions"] = self._permissions(self.facts, name)
        api_id = self.facts["api_id"] if self.facts else _PLANNED
        wanted = wanted_settings(current, self.params, self._execute_arn(api_id))
        changed = before is None or wanted != current

        if not changed or self.check_mode:
            after, facts = wanted, self._planned_facts(wanted)
        else:
            self._check_functions(current, wanted)
            facts = self._apply(current)
            after = settings_of(facts)
            after["permissions"] = self._permissions(facts, name)
        return {
            "changed": changed,
            "api": facts,
            "permissions": _list_permissions(after["permissions"]),
            "diff": {"before": _visible(before), "after": _visible(after)},
        }

    def _check_functions(self, current: Settings, wanted: Settings) -> None:
        """Find out before anything is changed that a function is missing."""
        for function_arn, statements in wanted["permissions"].items():
            known = current["permissions"][function_arn]
            if statements and not known and not function_exists(self.functions, function_arn):
                raise HttpApiError(f"There is no function {function_arn}: create it first")

    def _planned_facts(self, wanted: Settings) -> dict[str, Any]:
        """Return what RV(api) would be, from the ids that are known."""
        known = self.facts or {
            "api_id": _PLANNED,
            "api_endpoint": (
                f"https://{_PLANNED}.execute-api.{self.client.meta.region_name}.amazonaws.com"
            ),
            "arn": api_arn(self.client, _PLANNED),
            "routes": [],
            "stages": [],
            "unused_integrations": [],
        }
        endpoint = known["api_endpoint"]
        routes = {route["route_key"]: route for route in known["routes"]}
        unknown = {"route_id": _PLANNED, "integration_id": _PLANNED}
        return {
            **{key: known[key] for key in ("api_id", "api_endpoint", "arn")},
            **_without(wanted, "routes", "stages", "permissions", "unused_integrations"),
            "routes": [
                {"route_key": key, **unknown, **routes.get(key, {}), **route}
                for key, route in sorted(wanted["routes"].items())
            ],
            "stages": [
                {
                    "name": name,
                    "invoke_url": endpoint if name == "$default" else f"{endpoint}/{name}",
                    **stage,
                }
                for name, stage in sorted(wanted["stages"].items())
            ],
            "unused_integrations": known["unused_integrations"]
            if wanted["unused_integrations"]
            else [],
        }

    def _apply(self, current: Settings) -> dict[str, Any]:
        """Make the API what is wanted; return its facts as read again."""
        facts = self.facts or self._create(current)
        api_id = facts["api_id"]
        current = {**settings_of(facts), "permissions": current["permissions"]}
        wanted = wanted_settings(current, self.params, self._execute_arn(api_id))
        self._apply_api(api_id, current, wanted)
        self._apply_tags(facts["arn"], current["tags"], wanted["tags"])
        if self.params["routes"] is not None:
            self._apply_routes(facts, current, wanted)
        for function_arn, statements in wanted["permissions"].items():
            replace_statements(
                self.functions, function_arn, current["permissions"][function_arn], statements
            )
        for name, stage in wanted["stages"].items():
            self._apply_stage(facts, name, current["stages"].get(name), stage)
        return read_api(self.client, self.client.get_api(ApiId=api_id, aws_retry=True))

    def _create(self, current: Settings) -> dict[str, Any]:
        wanted = wanted_settings(current, self.params, "")
        api = self.client.create_api(
            Name=wanted["name"], ProtocolType="HTTP", Tags=wanted["tags"], aws_retry=True
        )
        return read_api(self.client, api)

    def _apply_api(self, api_id: str, current: Settings, wanted: Settings) -> None:
        changes = {
            key: wanted[key]
            for key in ("name", "description", "disable_execute_api_endpoint", "cors")
            if wanted[key] != current[key]
        }
        if changes.get("cors") == {}:
            del changes["cors"]
            self.client.delete_cors_configuration(ApiId=api_id, aws_retry=True)
        if "cors" in changes:
            changes["cors_configuration"] = changes.pop("cors")
        if changes:
            arguments = snake_dict_to_camel_dict(changes, capitalize_first=True)
            self.client.update_api(ApiId=api_id, **arguments, aws_retry=True)

    def _apply_tags(self, arn: str, current: dict[str, str], wanted: dict[str, str]) -> None:
        to_set, to_unset = compare_aws_tags(current, wanted, True)
        if to_set:
            self.client.tag_resource(ResourceArn=arn, Tags=to_set, aws_retry=True)
        if to_unset:
            self.client.untag_resource(ResourceArn=arn, TagKeys=to_unset, aws_retry=True)

    def _apply_routes(self, facts: dict[str, Any], current: Settings, wanted: Settings) -> None:
        """Point the routes to the configured integrations, then delete unused ones.

        An integration is replaced rather than changed: a route moves from one to the other at once.
        """
        api_id = facts["api_id"]
        routes = {route["route_key"]: route for route in facts["routes"]}
        integrations = {
            tuple(user[key] for key in _INTEGRATION_KEYS): user["integration_id"]
            for user in (*facts["unused_integrations"], *facts["routes"])
            if user["integration_id"] and not _without(user["other_settings"], *UNUSUAL_ROUTE)
        }
        used = {
            routes[key]["integration_id"]
            for key, route in wanted["routes"].items()
            if current["routes"].get(key) == route
        }
        for key, route in wanted["routes"].items():
            if current["routes"].get(key) == route:
                continue
            kind = tuple(route[name] for name in _INTEGRATION_KEYS)
            if kind not in integrations:
                integrations[kind] = self._create_integration(api_id, route)
            used.add(integrations[kind])
            self._apply_route(api_id, key, routes.get(key), route, integrations[kind])
        for key in current["routes"].keys() - wanted["routes"].keys():
            self.client.delete_route(ApiId=api_id, RouteId=routes[key]["route_id"], aws_retry=True)
        left_over = {route["integration_id"] for route in facts["routes"]} - {None}
        if self.params["purge_routes"]:
            left_over |= {user["integration_id"] for user in facts["unused_integrations"]}
        for integration_id in sorted(left_over - used):
            self.client.delete_integration(
                ApiId=api_id, IntegrationId=integration_id, aws_retry=True
            )

    def _create_integration(self, api_id: str, route: dict[str, Any]) -> str:
        integration_id: str = self.client.create_integration(
            ApiId=api_id,
            IntegrationType="AWS_PROXY",
            IntegrationMethod="POST",
            ConnectionType="INTERNET",
            IntegrationUri=route["lambda_arn"],
            PayloadFormatVersion=route["payload_format_version"],
            TimeoutInMillis=route["timeout_in_millis"],
            aws_retry=True,
        )["IntegrationId"]
        return integration_id

    def _apply_route(
        self,
        api_id: str,
        key: str,
        current: dict[str, Any] | None,
        wanted: dict[str, Any],
        integration_id: str,
    ) -> None:
        arguments = {
            "ApiId": api_id,
            "AuthorizationType": wanted["authorization_type"],
            "Target": f"integrations/{integration_id}",
            "aws_retry": True,
        }
        # An authorizer, its scopes or an API key cannot be taken off a route again.
        if current and not set(UNUSUAL_ROUTE) & current["other_settings"].keys():
            self.client.update_route(RouteId=current["route_id"], **arguments)
            return
        if current:
            self.client.delete_route(ApiId=api_id, RouteId=current["route_id"], aws_retry=True)
        self.client.create_route(RouteKey=key, **arguments)

    def _apply_stage(
        self, facts: dict[str, Any], name: str, current: Settings | None, wanted: Settings
    ) -> None:
        if current == wanted:
            return
        stage = {"ApiId": facts["api_id"], "StageName": name, "aws_retry": True}
        if current and current["access_log"] and not wanted["access_log"]:
            self.client.delete_access_log_settings(**stage)
            current = {**current, "access_log": {}}
        if current is None or _without(current, "tags") != _without(wanted, "tags"):
            settings = {
                "DetailedMetricsEnabled": wanted["detailed_metrics_enabled"],
                "ThrottlingBurstLimit": wanted["throttling_burst_limit"],
                "ThrottlingRateLimit": wanted["throttling_rate_limit"],
            }
            arguments: dict[str, Any] = {
                "AutoDeploy": wanted["auto_deploy"],
                "DefaultRouteSettings": {k: v for k, v in settings.items() if v is not None},
            }
            if wanted["description"] or current:
                arguments["Description"] = wanted["description"]
            if wanted["access_log"]:
                arguments["AccessLogSettings"] = {
                    "DestinationArn": wanted["access_log"]["destination_arn"],
                    "Format": wanted["access_log"]["format"],
                }
            if current is None:
                self.client.create_stage(**stage, **arguments, Tags=wanted["tags"])
                return
            self.client.update_stage(**stage, **arguments)
        self._apply_tags(f"{facts['arn']}/stages/{name}", current["tags"], wanted["tags"])

    def absent(self) -> dict[str, Any]:
        """Delete the API and its permissions; return the module's result."""
        name = self.facts["name"] if self.facts else self.params["name"] or ""
        permissions = {
            function_arn: statements
            for function_arn, statements in self._permissions(self.facts, name).items()
            if statements
        }
        result: dict[str, Any] = {"changed": bool(self.facts or permissions)}
        if not result["changed"]:
            return result
        if not self.check_mode:
            # The functions are known from the API's integrations, so the API goes last.
            for function_arn, statements in permissions.items():
                replace_statements(self.functions, function_arn, statements, {})
            if self.facts:
                self.client.delete_api(ApiId=self.facts["api_id"], aws_retry=True)
        before = settings_of(self.facts) if self.facts else {}
        result["diff"] = {"before": {**before, "permissions": permissions}, "after": {}}
        return {**result, "api": self.facts} if self.facts else result


def _visible(settings: Settings | None) -> Settings:
    """Return settings without the functions that have no statement for the API."""
    if settings is None:
        return {}
    permissions = {arn: found for arn, found in settings["permissions"].items() if found}
    return {**settings, "permissions": permissions}


def _list_permissions(permissions: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"function_arn": function_arn, "statement_id": statement_id, **statement}
        for function_arn, statements in sorted(permissions.items())
        for statement_id, statement in sorted(statements.items())
    ]


def argument_spec() -> dict[str, Any]:
    """Return the specification of the module's own parameters."""
    texts = {"type": "list", "elements": "str"}
    return {
        "name": {"type": "str"},
        "api_id": {"type": "str"},
        "search_tags": {"type": "dict"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "description": {"type": "str"},
        "disable_execute_api_endpoint": {"type": "bool"},
        "cors": {
            "type": "dict",
            "options": {
                "allow_credentials": {"type": "bool"},
                "allow_headers": texts,
                "allow_methods": texts,
                "allow_origins": texts,
                "expose_headers": texts,
                "max_age": {"type": "int"},
            },
        },
        "routes": {
            "type": "list",
            "elements": "dict",
            "options": {
                "route_key": {"type": "str", "required": True},
                "lambda_arn": {"type": "str", "required": True},
                "payload_format_version": {
                    "type": "str",
                    "choices": ["1.0", "2.0"],
                    "default": "2.0",
                },
                "timeout_in_millis": {"type": "int", "default": 30_000},
                "authorization_type": {
                    "type": "str",
                    "choices": ["NONE", "AWS_IAM"],
                    "default": "NONE",
                },
            },
        },
        "purge_routes": {"type": "bool", "default": True},
        "stage": {
            "type": "dict",
            "options": {
                "name": {"type": "str", "default": "$default"},
                "description": {"type": "str"},
                "auto_deploy": {"type": "bool", "default": True},
                "throttling_burst_limit": {"type": "int"},
                "throttling_rate_limit": {"type": "float"},
                "detailed_metrics_enabled": {"type": "bool"},
                "access_log": {
                    "type": "dict",
                    "options": {
                        "destination_arn": {"type": "str"},
                        "format": {"type": "json"},
                    },
                },
                "tags": {"type": "dict"},
            },
        },
        "lambda_permission": {
            "type": "str",
            "choices": ["api", "route", "none"],
            "default": "api",
        },
        "statement_id": {"type": "str"},
        "purge_permissions": {"type": "bool", "default": False},
        "tags": {"type": "dict", "aliases": ["resource_tags"]},
        "purge_tags": {"type": "bool", "default": True},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec=argument_spec(),
        required_one_of=[("name", "api_id")],
        supports_check_mode=True,
    )
    try:
        check_parameters(module.params)
        api = HttpApi(module)
        result = api.present() if module.params["state"] == "present" else api.absent()
    except HttpApiError as error:
        module.fail_json(msg=str(error))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        name = module.params["name"] or module.params["api_id"]
        module.fail_json_aws(error, msg=f"Failed to make HTTP API {name} {module.params['state']}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
