"""A call, and what it needs permission for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local_aws.authorization import actions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local_aws.authorization.conditions import Context


@dataclass(frozen=True)
class Call:
    """A request whose parameters are parsed by botocore's model of the operation.

    Attributes
    ----------
    service
        The prefix of its actions, such as ``ec2``.
    method, path
        Of the HTTP request, for the services whose actions are made of them.
    """

    service: str
    operation: str
    parameters: Mapping[str, Any]
    account: str
    region: str
    method: str = "POST"
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Need:
    """An action on one resource, or on ``*``.

    Attributes
    ----------
    type_name
        The kind of the resource in the data set, which decides about its condition keys.
    keys
        Condition keys of the call and the resource, names in lower case.
    """

    action: str
    resource: str = "*"
    type_name: str = ""
    keys: Context = field(default_factory=dict)


def of_types(
    call: Call, name: str, named: Mapping[str, Iterable[str]], keys: Context | None = None
) -> list[Need]:
    """Return the needs of an action on resources that are named by kind.

    Parameters
    ----------
    name
        The action, such as ``rds:DeleteDBInstance``.
    named
        ARNs by the kind of the resource. Kinds that the action has not are left out; of a kind
        that it requires and nobody names, as of what is created, one of any name is needed.
    """
    action = actions.find(name)
    if action is None:
        return [Need(name)]
    found = [
        Need(action.name, arn, kind, keys or {})
        for kind in action.types
        for arn in named.get(kind, ())
    ]
    found += [
        Need(
            action.name,
            actions.arn(type_, {}, region=call.region, account=call.account),
            kind,
            keys or {},
        )
        for kind, type_ in action.types.items()
        if kind and type_.required and not named.get(kind)
    ]
    return found or [Need(action.name, keys=keys or {})]


def request_tags(tags: Mapping[str, str]) -> Context:
    """Return the condition keys of tags that a request gives."""
    if not tags:
        return {}
    return {f"aws:requesttag/{key.lower()}": (value,) for key, value in tags.items()} | {
        "aws:tagkeys": tuple(tags)
    }


def read_tags(value: Any) -> dict[str, str]:
    """Read tags in the form of a map, or of a list of keys and values."""
    if isinstance(value, dict):
        return {str(key): str(text) for key, text in value.items()}
    return {tag["Key"]: tag.get("Value", "") for tag in value or [] if "Key" in tag}
