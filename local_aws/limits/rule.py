"""A rule: which parameter of which operation may be what, and what AWS says otherwise."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True)
class Request:
    """A request whose parameters are parsed by botocore's model of the operation.

    Attributes
    ----------
    service
        Name as boto3 has it, such as ``rds``.
    account, region
        Where it is to be done; rules that look at what is there need them.
    """

    service: str
    operation: str
    parameters: Mapping[str, Any]
    account: str
    region: str


@dataclass(frozen=True)
class Refusal:
    """AWS's error code and message."""

    code: str
    message: str


@dataclass(frozen=True)
class Rule:
    """What AWS documents of one parameter, or of several that depend on each other.

    Attributes
    ----------
    operations
        ``<service>:<operation>``, by the names of botocore's models.
    parameter
        Path of the parameter, such as ``IpPermissions[].IpRanges[].Description``; empty for the
        request as a whole. The rule says nothing of a request without it.
    allows
        Whether AWS takes the value in this request.
    code, message
        AWS's answer otherwise; ``{value}`` in the message is the value.
    source
        The page of AWS's documentation that says so.
    """

    operations: tuple[str, ...]
    parameter: str
    allows: Callable[[Any, Request], bool]
    code: str
    message: str
    source: str

    def refusals(self, request: Request) -> Iterator[Refusal]:
        """Yield a refusal for each value that AWS does not take."""
        if f"{request.service}:{request.operation}" not in self.operations:
            return
        for value in values(request.parameters, self.parameter):
            if not self.allows(value, request):
                yield Refusal(self.code, self.message.replace("{value}", str(value)))


def values(parameters: Mapping[str, Any], path: str) -> Iterator[Any]:
    """Yield the value at `path`, which may be nothing and, below lists, several."""
    if not path:
        yield parameters
        return
    head, _, rest = path.partition(".")
    found = parameters.get(head.removesuffix("[]"))
    if found is None:
        return
    for item in found if head.endswith("[]") else [found]:
        if rest:
            yield from values(item, rest)
        else:
            yield item


def matches(pattern: str) -> Callable[[Any, Request], bool]:
    """Return a condition that a value as a whole fits the regular expression `pattern`."""
    compiled = re.compile(pattern)
    return lambda value, _request: compiled.fullmatch(value) is not None


def between(low: int, high: int) -> Callable[[Any, Request], bool]:
    """Return a condition that a number is neither less than `low` nor more than `high`."""
    return lambda value, _request: low <= int(value) <= high


def one_of(*allowed: Any) -> Callable[[Any, Request], bool]:
    """Return a condition that a value is one of those `allowed`."""
    return lambda value, _request: value in allowed
