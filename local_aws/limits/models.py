"""What botocore's models say of values and botocore does not check.

The models are AWS's own, and its API references are made of them: the services below refuse what
is longer, larger, of another pattern or not in the enumeration. botocore sends it all the same.
Patterns with classes of Unicode, which only tags have, are left to `tags`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from local_aws.limits.rule import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.model import OperationModel, Shape

    from local_aws.limits.rule import Request

# The services whose models have such constraints, and the error of each.
_CODES = {
    "apigatewayv2": "BadRequestException",
    "iam": "ValidationError",
    "lambda": "ValidationException",
    "logs": "InvalidParameterException",
    "secretsmanager": "ValidationException",
}


def refusals(request: Request, operation: OperationModel) -> Iterator[Refusal]:
    """Yield a refusal for each value that the model of `operation` excludes."""
    code = _CODES.get(request.service)
    if code is None or operation.input_shape is None:
        return
    for where, constraint, value in _violations(operation.input_shape, request.parameters, ""):
        yield Refusal(
            code,
            f"1 validation error detected: Value{value} at '{where}' failed to satisfy "
            f"constraint: {constraint}",
        )


def _violations(shape: Shape, value: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """Yield path, constraint and, where it is not a secret, value in quotation marks."""
    for constraint in _broken(shape, value):
        shown = "" if shape.metadata.get("sensitive") else f" '{value}'"
        yield path, constraint, shown
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if value.get(name) is not None:
                below = f"{path}.{name[0].lower()}{name[1:]}".lstrip(".")
                yield from _violations(member, value[name], below)
    elif shape.type_name == "list":
        for number, item in enumerate(value, 1):
            yield from _violations(shape.member, item, f"{path}.{number}.member")
    elif shape.type_name == "map":
        for key, item in value.items():
            yield from _violations(shape.key, key, path)
            yield from _violations(shape.value, item, f"{path}.{key}.member")


def _broken(shape: Shape, value: Any) -> Iterator[str]:
    is_number = isinstance(value, int | float)
    measured = value if is_number else len(value) if hasattr(value, "__len__") else None
    what = "value" if is_number else "length"
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and measured is not None and measured < low:
        yield f"Member must have {what} greater than or equal to {low}"
    if high is not None and measured is not None and measured > high:
        yield f"Member must have {what} less than or equal to {high}"
    if shape.type_name == "string":
        allowed = getattr(shape, "enum", None)
        if allowed and value not in allowed:
            yield f"Member must satisfy enum value set: [{', '.join(allowed)}]"
        pattern = shape.metadata.get("pattern")
        compiled = _compiled(pattern) if pattern else None
        if compiled and not compiled.fullmatch(value):
            yield f"Member must satisfy regular expression pattern: {pattern}"


@lru_cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """Return the pattern; None if it is one that Python cannot read."""
    try:
        return re.compile(pattern, re.ASCII)
    except re.error:
        return None
