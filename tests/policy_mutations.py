"""Mutation of policies: which recorded request is refused without one of the actions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from local_aws.authorization.policies import Policies, Request, evaluate
from scripts.action_patterns import matched
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.conftest import Permission

Document = dict[str, Any]


def mutate(policy: Document, permissions: Iterable[Permission]) -> dict[tuple[str, str], str]:
    """Return what is refused without each action of a policy.

    Parameters
    ----------
    policy
        With a Sid for each statement, or without any.
    permissions
        Requests of callers that have this policy and no other.

    Returns
    -------
    dict
        By Sid and action: the types of the resources for which a request is refused, such as
        ``role, instance-profile``, ``*`` where the action has none, and the empty text when nothing
        is refused, so that the action is more than needed.
    """
    requests = [request(permission) for permission in permissions]
    allowed = [one for one in requests if evaluate(one, Policies(identity=[policy])).allowed]
    found = {}
    for index, statement in enumerate(policy["Statement"]):
        actions = sorted(set().union(*map(matched, listed(statement["Action"]))))
        for action in actions:
            rest = {**statement, "Action": [one for one in actions if one != action]}
            statements = [*policy["Statement"]]
            statements[index] = rest
            mutant = {**policy, "Statement": statements}
            types = {
                resource_type(one.resource)
                for one in allowed
                if one.action == action and not evaluate(one, Policies(identity=[mutant])).allowed
            }
            found[statement.get("Sid", ""), action] = ", ".join(sorted(types))
    return found


def request(permission: Permission) -> Request:
    """Return the request that needed a permission."""
    account = permission.caller.split(":")[4]
    keys = {key: tuple(values) for key, values in permission.keys.items()}
    return Request(permission.action, permission.resource, (permission.caller,), account, keys)


def resource_type(arn: str) -> str:
    """Return the type of a resource from its ARN."""
    if arn == "*":
        return arn
    service, resource = arn.split(":")[2], arn.split(":", 5)[5]
    if service == "s3":
        return "object" if "/" in resource else "bucket"
    if service == "sns":
        return "topic"
    return re.split(r"[/:]", resource.lstrip("/"), maxsplit=1)[0]


def rows(table: dict[tuple[str, str], str]) -> list[str]:
    """Return a table as lines of Markdown."""
    return [
        f"| {statement} | `{action}` | {types} |" for (statement, action), types in table.items()
    ]


def documented(section: str) -> list[str]:
    """Return the rows of a section of docs/iam/mutations.md."""
    text = (ROOT / "docs/iam/mutations.md").read_text()
    [body] = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return [line for line in body.splitlines() if line.startswith("| ") and "`" in line]


def listed(value: Any) -> list[Any]:
    """Return the value in a list, unless it is one."""
    return value if isinstance(value, list) else [value]
