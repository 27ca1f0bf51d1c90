"""Limits of Lambda, beside those of its model.

The model's bounds of memory and time are those of Lambda Managed Instances; other functions have
the lower ones of Lambda's quotas, which nobody can have raised.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

from local_aws.limits.rule import Rule, between

if TYPE_CHECKING:
    from local_aws.limits.rule import Request

_API = "https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html"
_QUOTAS = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
_VARIABLES = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"
_CONFIGURED = ("lambda:CreateFunction", "lambda:UpdateFunctionConfiguration")
_NAME_CHARACTERS = 64
_VARIABLES_BYTES = 4096
_ZIP_BYTES = 50 << 20
_UNZIPPED_BYTES = 250 << 20
_RESERVED = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)


def _is_short_enough(name: str, _request: Request) -> bool:
    return ":" in name or len(name) <= _NAME_CHARACTERS


def _are_small_enough(variables: dict[str, str], _request: Request) -> bool:
    # AWS measures them as compact JSON.
    measured = json.dumps(variables, separators=(",", ":"), ensure_ascii=False)
    return len(measured.encode()) <= _VARIABLES_BYTES


def _has_small_enough_content(package: bytes, _request: Request) -> bool:
    """Say so; of a file that is not a zip moto says more."""
    try:
        with zipfile.ZipFile(io.BytesIO(package)) as opened:
            return sum(member.file_size for member in opened.infolist()) < _UNZIPPED_BYTES
    except zipfile.BadZipFile:
        return True


def _packages(*conditions: tuple[Any, str, str]) -> tuple[Rule, ...]:
    return tuple(
        Rule((operation,), parameter, allows, code, message, _QUOTAS)
        for allows, code, message in conditions
        for operation, parameter in (
            ("lambda:CreateFunction", "Code.ZipFile"),
            ("lambda:UpdateFunctionCode", "ZipFile"),
        )
    )


RULES = (
    Rule(
        ("lambda:CreateFunction",),
        "FunctionName",
        _is_short_enough,
        "ValidationException",
        "1 validation error detected: Value '{value}' at 'functionName' failed to satisfy "
        f"constraint: Member must have length less than or equal to {_NAME_CHARACTERS}",
        _API,
    ),
    Rule(
        _CONFIGURED,
        "MemorySize",
        between(128, 10240),
        "ValidationException",
        "1 validation error detected: Value '{value}' at 'memorySize' failed to satisfy "
        "constraint: Member must have value less than or equal to 10240",
        _QUOTAS,
    ),
    Rule(
        _CONFIGURED,
        "Timeout",
        between(1, 900),
        "ValidationException",
        "1 validation error detected: Value '{value}' at 'timeout' failed to satisfy "
        "constraint: Member must have value less than or equal to 900",
        _QUOTAS,
    ),
    Rule(
        _CONFIGURED,
        "Environment.Variables",
        lambda value, _request: not _RESERVED & value.keys(),
        "InvalidParameterValueException",
        "Lambda was unable to configure your environment variables because the environment "
        "variables you have provided contains reserved keys that are currently not supported for "
        "modification.",
        _VARIABLES,
    ),
    Rule(
        _CONFIGURED,
        "Environment.Variables",
        _are_small_enough,
        "InvalidParameterValueException",
        "Lambda was unable to configure your environment variables because the environment "
        "variables you have provided exceeded the 4KB limit.",
        _VARIABLES,
    ),
    *_packages(
        (
            lambda value, _request: len(value) <= _ZIP_BYTES,
            "RequestEntityTooLargeException",
            f"A package is uploaded directly up to {_ZIP_BYTES} bytes.",
        ),
        (
            _has_small_enough_content,
            "InvalidParameterValueException",
            f"Unzipped size must be smaller than {_UNZIPPED_BYTES} bytes",
        ),
    ),
)
