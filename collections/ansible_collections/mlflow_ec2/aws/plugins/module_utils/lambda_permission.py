# SPDX-License-Identifier: Apache-2.0
"""Statements of a Lambda function's policy that allow API Gateway to call the function."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code

ACTION = "lambda:InvokeFunction"
PRINCIPAL = "apigateway.amazonaws.com"
_UNQUALIFIED_PARTS = 7
_MAX_STATEMENT_ID = 100 - len("-12345678")


def default_statement_id(api_name: str) -> str:
    """Return the id of an API's statements: from its name, so that a new API takes them over."""
    return ("apigateway-" + re.sub(r"[^A-Za-z0-9_-]", "-", api_name))[:_MAX_STATEMENT_ID]


def route_statement_id(base: str, route_key: str) -> str:
    """Return the id of the statement of one route."""
    return f"{base}-{hashlib.sha256(route_key.encode()).hexdigest()[:8]}"


def is_statement_of(base: str, statement_id: str) -> bool:
    """Return whether a statement's id is one that these modules make from `base`."""
    return bool(re.fullmatch(re.escape(base) + r"(-[0-9a-f]{8})?", statement_id))


def is_for_api(execute_arn: str | None, statement: dict[str, Any]) -> bool:
    """Return whether a statement is about one API; None is an API that is yet to be made."""
    source_arn = statement["source_arn"]
    return bool(
        execute_arn and isinstance(source_arn, str) and source_arn.startswith(f"{execute_arn}/")
    )


def route_source(route_key: str) -> str:
    """Return the end of the ARN of one route in every stage, with path parameters as `*`."""
    if route_key == "$default":
        return "*/$default"
    method, path = route_key.split(" ", 1)
    return f"*/{'*' if method == 'ANY' else method}{re.sub(r'{[^}]*}', '*', path)}"


def permission(source_arn: str) -> dict[str, Any]:
    """Return the statement that lets API Gateway call a function on behalf of `source_arn`."""
    return {
        "effect": "Allow",
        "principal": PRINCIPAL,
        "action": ACTION,
        "source_arn": source_arn,
        "other_conditions": {},
    }


def statement_facts(statement: dict[str, Any]) -> dict[str, Any]:
    """Return a statement of a policy in the shape of `permission`."""
    principal = statement.get("Principal")
    if isinstance(principal, dict) and list(principal) == ["Service"]:
        principal = principal["Service"]
    source_arn = None
    others: dict[str, Any] = {}
    for operator, operands in (statement.get("Condition") or {}).items():
        for key, value in operands.items():
            if operator == "ArnLike" and key.lower() == "aws:sourcearn":
                source_arn = value
            else:
                others[f"{operator} {key}"] = value
    return {
        "effect": statement.get("Effect"),
        "principal": principal if isinstance(principal, str) else json.dumps(principal),
        "action": statement.get("Action"),
        "source_arn": source_arn,
        "other_conditions": others,
    }


def split_function_arn(arn: str) -> dict[str, str]:
    """Return the arguments that name a function, and its version or alias if there is one."""
    parts = arn.split(":")
    if len(parts) > _UNQUALIFIED_PARTS:
        return {"FunctionName": ":".join(parts[:-1]), "Qualifier": parts[-1]}
    return {"FunctionName": arn}


def read_statements(client: Any, function_arn: str) -> dict[str, dict[str, Any]]:
    """Return the statements of a function's policy by id; none if there is no such function."""
    try:
        answer = client.get_policy(**split_function_arn(function_arn), aws_retry=True)
    except is_boto3_error_code("ResourceNotFoundException"):
        return {}
    policy = json.loads(answer["Policy"])
    return {
        statement["Sid"]: statement_facts(statement)
        for statement in policy["Statement"]
        if "Sid" in statement
    }


def function_exists(client: Any, function_arn: str) -> bool:
    """Return whether there is such a function, version or alias."""
    try:
        client.get_function_configuration(**split_function_arn(function_arn), aws_retry=True)
    except is_boto3_error_code("ResourceNotFoundException"):
        return False
    return True


def replace_statements(
    client: Any,
    function_arn: str,
    current: dict[str, dict[str, Any]],
    wanted: dict[str, dict[str, Any]],
) -> None:
    """Remove the statements that are not wanted so, then add those that are missing."""
    function = split_function_arn(function_arn)
    for statement_id, statement in current.items():
        if wanted.get(statement_id) != statement:
            client.remove_permission(**function, StatementId=statement_id, aws_retry=True)
    for statement_id, statement in wanted.items():
        if current.get(statement_id) != statement:
            client.add_permission(
                **function,
                StatementId=statement_id,
                Action=statement["action"],
                Principal=statement["principal"],
                SourceArn=statement["source_arn"],
                aws_retry=True,
            )
