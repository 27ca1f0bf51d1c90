"""The conditions of a policy's statement, and the variables in its texts.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# What a request says about itself: names in lower case, each with its values.
Context = dict[str, tuple[str, ...]]

ARN_PARTS = 6
# ${aws:username}, ${aws:username, 'somebody'}, and the characters ${*}, ${?} and ${$}
_VARIABLE = re.compile(r"\$\{\s*([^,}]+?)\s*(?:,\s*'([^']*)'\s*)?\}")
_LITERALS = ("*", "?", "$")


class UnknownOperatorError(ValueError):
    """A condition has an operator that IAM does not know; IAM takes no such policy."""


def hold(
    conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, tuple[str, ...]]
) -> bool:
    """Return whether all conditions of a statement are met.

    Raises
    ------
    UnknownOperatorError
        When a condition has an operator that IAM does not know.
    """
    return all(
        _holds(operator, key, _listed(wanted), context)
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def as_list(value: Any) -> list[Any]:
    """Return the value of a policy element as a list; a policy can hold a single value."""
    return value if isinstance(value, list) else [value]


def matches(pattern: str, value: str, context: Mapping[str, tuple[str, ...]] | None = None) -> bool:
    """Return whether the whole of `value` fits a pattern of IAM, with ``*``, ``?`` and variables.

    A pattern with a variable that the request has not fits nothing.
    """
    compiled = _pattern(pattern) if "${" not in pattern else _with_variables(pattern, context or {})
    return compiled is not None and compiled.fullmatch(value) is not None


def arn_matches(
    pattern: str, value: str, context: Mapping[str, tuple[str, ...]] | None = None
) -> bool:
    """Return whether an ARN fits a pattern, part by part: a ``*`` ends at the first five colons."""
    if pattern == "*":
        return True
    wanted, found = pattern.split(":", ARN_PARTS - 1), value.split(":", ARN_PARTS - 1)
    return len(wanted) == len(found) and all(
        matches(part, other, context) for part, other in zip(wanted, found, strict=True)
    )


def has_values(text: str, context: Mapping[str, tuple[str, ...]]) -> bool:
    """Return whether the request has a value for each variable of a text."""
    return "${" not in text or _substituted(text, context) is not None


def _listed(wanted: Any) -> list[str]:
    return [
        str(value).lower() if isinstance(value, bool) else str(value) for value in as_list(wanted)
    ]


@lru_cache(maxsize=4096)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(_regular_expression(text), re.DOTALL)


def _regular_expression(text: str) -> str:
    return re.escape(text).replace(r"\*", ".*").replace(r"\?", ".")


def _with_variables(text: str, context: Mapping[str, tuple[str, ...]]) -> re.Pattern[str] | None:
    parts, end = [], 0
    for variable in _VARIABLE.finditer(text):
        parts.append(_regular_expression(text[end : variable.start()]))
        end = variable.end()
        value = _variable(variable[1], variable[2], context)
        if value is None:
            return None
        parts.append(re.escape(value))
    return re.compile("".join(parts) + _regular_expression(text[end:]), re.DOTALL)


def _variable(name: str, default: str | None, context: Mapping[str, tuple[str, ...]]) -> str | None:
    if name in _LITERALS:
        return name
    # A key with several values cannot be put in place.
    values = context.get(name.lower(), ())
    return values[0] if len(values) == 1 else default


def _substituted(text: str, context: Mapping[str, tuple[str, ...]]) -> str | None:
    """Return a value of a condition with its variables replaced; None where one has no value."""
    missing = False

    def value(variable: re.Match[str]) -> str:
        nonlocal missing
        found = _variable(variable[1], variable[2], context)
        missing = missing or found is None
        return found or ""

    replaced = _VARIABLE.sub(value, text)
    return None if missing else replaced


def _holds(
    operator: str, key: str, wanted: list[str], context: Mapping[str, tuple[str, ...]]
) -> bool:
    quantifier, _, plain = operator.rpartition(":")
    if_exists = plain.endswith("IfExists")
    plain = plain.removesuffix("IfExists")
    found = context.get(key.lower())
    if plain == "Null":
        return ("true" in [value.lower() for value in wanted]) == (not found)
    compare, negated = _operator(plain)
    if not found:
        return if_exists or quantifier == "ForAllValues" or (negated and not quantifier)

    def fits(value: str) -> bool:
        met = any(_compare(compare, pattern, value, context) for pattern in wanted)
        return met != negated

    if quantifier == "ForAllValues":
        return all(map(fits, found))
    # One value, or any of several.
    return any(map(fits, found)) if quantifier or not negated else all(map(fits, found))


def _compare(
    compare: Callable[[str, str, Mapping[str, tuple[str, ...]]], bool],
    pattern: str,
    value: str,
    context: Mapping[str, tuple[str, ...]],
) -> bool:
    try:
        return compare(pattern, value, context)
    except ValueError:
        # A value that cannot be parsed as a number, date or address matches nothing.
        return False


def _operator(
    name: str,
) -> tuple[Callable[[str, str, Mapping[str, tuple[str, ...]]], bool], bool]:
    """Return what compares a policy's value with the request's, and whether it is negated."""
    if name in _OPERATORS:
        return _OPERATORS[name], False
    if name in _NEGATED:
        return _OPERATORS[_NEGATED[name]], True
    raise UnknownOperatorError(name)


def _text(pattern: str, value: str, context: Mapping[str, tuple[str, ...]]) -> bool:
    return _substituted(pattern, context) == value


def _text_ignoring_case(pattern: str, value: str, context: Mapping[str, tuple[str, ...]]) -> bool:
    wanted = _substituted(pattern, context)
    return wanted is not None and wanted.lower() == value.lower()


def _address(pattern: str, value: str, context: Mapping[str, tuple[str, ...]]) -> bool:
    del context
    return ipaddress.ip_address(value) in ipaddress.ip_network(pattern, strict=False)


def _moment(text: str) -> datetime:
    """Read a date in the form of ISO 8601, or in seconds since 1970."""
    if re.fullmatch(r"\d+(\.\d+)?", text) and len(text) > len("2026"):
        return datetime.fromtimestamp(float(text), UTC)
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _ordered(read: Callable[[str], Any], compare: Callable[[Any, Any], bool]) -> Any:
    def comparison(pattern: str, value: str, context: Mapping[str, tuple[str, ...]]) -> bool:
        del context
        return compare(read(value), read(pattern))

    return comparison


_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda value, bound: value == bound,
    "LessThan": lambda value, bound: value < bound,
    "LessThanEquals": lambda value, bound: value <= bound,
    "GreaterThan": lambda value, bound: value > bound,
    "GreaterThanEquals": lambda value, bound: value >= bound,
}
_OPERATORS: dict[str, Callable[[str, str, Mapping[str, tuple[str, ...]]], bool]] = {
    "StringEquals": _text,
    "StringEqualsIgnoreCase": _text_ignoring_case,
    "StringLike": matches,
    "BinaryEquals": _text,
    "Bool": _text_ignoring_case,
    "IpAddress": _address,
    # IAM takes either for the other.
    "ArnEquals": arn_matches,
    "ArnLike": arn_matches,
    **{f"Numeric{name}": _ordered(float, order) for name, order in _ORDERS.items()},
    **{f"Date{name}": _ordered(_moment, order) for name, order in _ORDERS.items()},
}
_NEGATED = {
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
}
