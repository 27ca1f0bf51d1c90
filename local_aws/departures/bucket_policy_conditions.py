"""A bucket policy may ask whether the request came over TLS.

moto takes a statement with the condition ``{"Bool": {"aws:SecureTransport": …}}`` as one that
always denies, so the usual policy against plain HTTP locks everybody out. AWS compares the
condition with the request: where it does not hold, the statement does not count.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import flask
from moto.s3.models import FakeBucket

from local_aws.patching import replace

if TYPE_CHECKING:
    from moto.iam.access_control import PermissionResult

    from local_aws.settings import Settings


def apply(settings: Settings) -> None:
    """Evaluate the condition before moto sees the policy."""
    del settings
    get_permission = FakeBucket.get_permission

    def with_condition(self: Any, action: str, resource: str) -> PermissionResult:
        policy = self.policy
        if policy is None:
            return get_permission(self, action, resource)
        secure = flask.request.is_secure if flask.has_request_context() else True
        evaluated: Any = FakeBucket.__new__(FakeBucket)
        evaluated.policy = json.dumps(applicable(json.loads(policy), secure=secure)).encode()
        return get_permission(evaluated, action, resource)

    replace(FakeBucket, "get_permission", with_condition)


def applicable(policy: dict[str, Any], *, secure: bool) -> dict[str, Any]:
    """Return `policy` with the statements that count for a request over TLS, or without it.

    The condition is taken out of the statements that stay; other conditions remain for moto.
    """
    statements = policy["Statement"]
    if isinstance(statements, dict):
        statements = [statements]
    return policy | {
        "Statement": [
            remaining
            for statement in statements
            if (remaining := _evaluate(statement, secure=secure)) is not None
        ]
    }


def _evaluate(statement: dict[str, Any], *, secure: bool) -> dict[str, Any] | None:
    conditions: dict[str, dict[str, Any]] = dict(statement.get("Condition", {}))
    for operator in ("Bool", "BoolIfExists"):
        keys = dict(conditions.get(operator, {}))
        name = next((key for key in keys if key.lower() == "aws:securetransport"), None)
        if name is None:
            continue
        wanted = keys.pop(name)
        values = wanted if isinstance(wanted, list) else [wanted]
        if str(secure).lower() not in {str(value).lower() for value in values}:
            return None
        conditions[operator] = keys
    conditions = {operator: keys for operator, keys in conditions.items() if keys}
    rest = {key: value for key, value in statement.items() if key != "Condition"}
    return rest | ({"Condition": conditions} if conditions else {})
