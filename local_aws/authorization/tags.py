"""The tags of a resource, as condition keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.apigatewayv2.models import apigatewayv2_backends
from moto.awslambda.models import lambda_backends
from moto.budgets.models import budgets_backends
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.exceptions import ServiceException
from moto.iam.models import iam_backends
from moto.logs.models import logs_backends
from moto.rds.models import rds_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sns.models import sns_backends
from werkzeug.exceptions import HTTPException

from local_aws.authorization.needs.call import read_tags
from local_aws.services.budgets import changes

if TYPE_CHECKING:
    from collections.abc import Callable

    from local_aws.authorization.conditions import Context


def keys(arn: str, account: str, region: str) -> Context:
    """Return the condition keys that the tags of a resource are; none of what is not there."""
    service = arn.split(":")[2] if arn.startswith("arn:") else ""
    find = _FINDERS.get(service)
    if find is None:
        return {}
    try:
        tags = find(arn, account, region)
    except (KeyError, AttributeError, IndexError, ServiceException, HTTPException):
        # The resource is still to be made.
        return {}
    return {f"aws:resourcetag/{key.lower()}": (value,) for key, value in tags.items()}


def _api(arn: str, account: str, region: str) -> dict[str, str]:
    # Stages have tags of their own; what else is below an API is judged by the API's.
    backend = apigatewayv2_backends[account][region]
    parts = arn.split("/")
    found = backend.get_tags(arn)
    return found or backend.get_tags("/".join(parts[:3]))


def _alarm(arn: str, account: str, region: str) -> dict[str, str]:
    tags: dict[str, str] = cloudwatch_backends[account][region].list_tags_for_resource(arn)
    return tags


def _budget(arn: str, account: str, region: str) -> dict[str, str]:
    del region
    budgets = budgets_backends[account]["aws"].budgets[account]
    return changes.tags_of(budgets[arn.partition(":budget/")[2]])


def _function(arn: str, account: str, region: str) -> dict[str, str]:
    tags: dict[str, str] = lambda_backends[account][region].list_tags(arn)
    return tags


def _identity(arn: str, account: str, region: str) -> dict[str, str]:
    del region
    iam = iam_backends[account]["aws"]
    kind, _, path = arn.split(":")[5].partition("/")
    kinds: dict[str, list[Any]] = {
        "role": list(iam.roles.values()),
        "instance-profile": list(iam.instance_profiles.values()),
    }
    known = kinds.get(kind, [])
    name = path.rpartition("/")[2]
    return next((read_tags(_listed(one.tags)) for one in known if one.name == name), {})


def _listed(tags: Any) -> Any:
    # moto keeps those of roles by lower-case key, each with the tag as it was given.
    values = list(tags.values()) if isinstance(tags, dict) else tags
    return values if all(isinstance(value, dict) for value in values) else tags


def _log_group(arn: str, account: str, region: str) -> dict[str, str]:
    tags: dict[str, str] = logs_backends[account][region].list_tags_for_resource(
        arn.partition(":log-stream:")[0]
    )
    return tags


def _database(arn: str, account: str, region: str) -> dict[str, str]:
    return read_tags(rds_backends[account][region].list_tags_for_resource(arn))


def _secret(arn: str, account: str, region: str) -> dict[str, str]:
    return read_tags(secretsmanager_backends[account][region].secrets[arn].tags)


def _topic(arn: str, account: str, region: str) -> dict[str, str]:
    return read_tags(sns_backends[account][region].list_tags_for_resource(arn))


_FINDERS: dict[str, Callable[[str, str, str], dict[str, str]]] = {
    "apigateway": _api,
    "budgets": _budget,
    "cloudwatch": _alarm,
    "iam": _identity,
    "lambda": _function,
    "logs": _log_group,
    "rds": _database,
    "secretsmanager": _secret,
    "sns": _topic,
}
