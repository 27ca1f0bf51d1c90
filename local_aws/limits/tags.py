r"""What tags may be, on every service.

Sources: https://docs.aws.amazon.com/tag-editor/latest/userguide/tagging.html (lengths, number, the
prefix ``aws:``), https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_Tag.html (``rds:``
and characters), and the patterns of IAM, Lambda and CloudWatch Logs in botocore's models (the
characters ``\p{L}\p{Z}\p{N}_.:/=+\-@``). Other services take further characters.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from local_aws.limits.rule import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local_aws.limits.rule import Request

MOST = 50
LONGEST_KEY = 128
LONGEST_VALUE = 256
_RESERVED = {"rds": ("aws:", "rds:")}
_SIGNS = frozenset("_.:/=+-@")
# The services that take no further ones, and their error.
_OF_FEW_CHARACTERS = {
    "iam": "ValidationError",
    "lambda": "ValidationException",
    "logs": "InvalidParameterException",
    "rds": "InvalidParameterValue",
}
_CODES = {
    "apigatewayv2": "BadRequestException",
    "ec2": "InvalidParameterValue",
    "iam": "InvalidInput",
    "lambda": "InvalidParameterValueException",
    "logs": "InvalidParameterException",
    "rds": "InvalidParameterValue",
    "s3": "InvalidTag",
    "secretsmanager": "InvalidParameterException",
}


def refusals(request: Request) -> Iterator[Refusal]:
    """Yield a refusal for each set of tags, each key and each value that AWS does not take."""
    if request.operation.startswith(("Delete", "Untag", "Remove")):
        return
    code = _CODES[request.service]
    for tags in _sets(request.parameters):
        if len(tags) > MOST:
            too_many = "TagLimitExceeded" if request.service == "ec2" else code
            yield Refusal(too_many, f"More than {MOST} tags are given for one resource.")
        for key, value in tags:
            problem = _problem(key, value, request.service)
            if problem:
                yield Refusal(code, f"Value ( {key} ) for parameter key is invalid. {problem}")
            if request.service in _OF_FEW_CHARACTERS and not all(map(_is_usual, key + value)):
                yield Refusal(
                    _OF_FEW_CHARACTERS[request.service],
                    f"Tag {key}: tags are of letters, digits, white space and _ . : / = + - @",
                )


def _sets(parameters: Mapping[str, Any]) -> Iterator[list[tuple[str, str]]]:
    tagging = parameters.get("Tagging")
    groups = [
        parameters.get("Tags") or parameters.get("tags"),
        tagging.get("TagSet") if isinstance(tagging, dict) else None,
        *(group.get("Tags") for group in parameters.get("TagSpecifications") or []),
    ]
    for group in groups:
        if isinstance(group, dict):
            yield list(group.items())
        elif group:
            yield [(tag.get("Key", ""), tag.get("Value", "")) for tag in group]


def _problem(key: str, value: str, service: str) -> str | None:
    for prefix in _RESERVED.get(service, ("aws:",)):
        if key.lower().startswith(prefix):
            return f"Tag keys starting with '{prefix}' are reserved for internal use"
    if not 1 <= len(key) <= LONGEST_KEY:
        return f"Tag keys have from 1 to {LONGEST_KEY} characters"
    if len(value) > LONGEST_VALUE:
        return f"Tag values have at most {LONGEST_VALUE} characters"
    return None


def _is_usual(character: str) -> bool:
    return character in _SIGNS or unicodedata.category(character)[0] in "LNZ"
