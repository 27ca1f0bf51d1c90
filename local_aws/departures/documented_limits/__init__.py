"""What AWS documents as invalid is refused.

moto takes names, sizes and combinations that AWS refuses, and botocore checks of its models only
types, required members and lower bounds. On AWS a user finds out late: here a request is
compared with what AWS documents before moto sees it.

- `models`: lengths, ranges, patterns and enumerations of botocore's models, which are AWS's own;
- `tags`: the tags of every service;
- `ec2`, `rds`, `functions`, `identity`, `others`: rules that AWS's documentation has in prose,
  each with the page that says so.

Each rule is one that AWS's documentation states. Quotas, which an account may have raised, are no
rules. Messages are AWS's where they are known.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse
from moto.core.utils import get_service_model
from moto.s3.exceptions import S3ClientError

from local_aws.accounts import refusals
from local_aws.calls import parameters
from local_aws.departures.documented_limits import (
    ec2,
    functions,
    identity,
    models,
    others,
    rds,
    tags,
)
from local_aws.departures.documented_limits.rule import Refusal, Request, Rule
from local_aws.patching import replace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from moto.core.model import OperationModel

    from local_aws.settings import Settings

# Of others not even the parameters are read.
_SERVICES = frozenset({"apigatewayv2", "ec2", "iam", "lambda", "logs", "rds", "secretsmanager"})
# Where permission and operation have one name; what else S3 does is not looked at.
_S3_OPERATIONS = frozenset({"CreateBucket", "PutBucketTagging"})
RULES: tuple[Rule, ...] = tuple(
    chain(ec2.RULES, functions.RULES, identity.RULES, others.RULES, rds.RULES)
)


class RefusedError(ServiceException):
    """What AWS answers; a class of moto's own would be looked up among its services."""


def apply(settings: Settings) -> None:
    """Look at each request before moto does."""
    rules = RULES + refusals.rules(settings.account_of_kinds)

    def call_action(self: BaseResponse) -> Any:
        refusal = None
        if self.boto3_service_name in _SERVICES:
            operation = self._get_action()
            refusal = _refusal(rules, self, operation, self.uri_match)
        if refusal is None:
            return call_any_action(self)
        return self.serialized(ActionResult(RefusedError(refusal.code, refusal.message)))

    # S3 comes by another way, which knows the name of the permission only.
    def authorize_s3(
        self: Any, bucket_name: str | None = None, key_name: str | None = None
    ) -> None:
        authorize_any_s3(self, bucket_name, key_name)
        action = self.data.get("Action")
        # To remove the tags is by its permission to put some.
        if action in _S3_OPERATIONS and self.method == "PUT":
            refusal = _refusal(rules, self, action, {"Bucket": bucket_name})
            if refusal is not None:
                raise S3ClientError(refusal.code, refusal.message)

    call_any_action = replace(BaseResponse, "call_action", call_action)
    authorize_any_s3 = replace(
        ActionAuthenticatorMixin, "_authenticate_and_authorize_s3_action", authorize_s3
    )


def _refusal(
    rules: tuple[Rule, ...], response: Any, name: str, url_parameters: dict[str, Any]
) -> Refusal | None:
    """Return why AWS would not do what is asked, or None."""
    service = get_service_model(response.boto3_service_name)
    if name not in service.operation_names:
        return None
    operation = service.operation_model(name)
    request = Request(
        service=response.boto3_service_name,
        operation=name,
        parameters=parameters(response, operation, url_parameters),
        account=response.current_account,
        region=response.region,
    )
    return next(_refusals(rules, request, operation), None)


def _refusals(
    rules: tuple[Rule, ...], request: Request, operation: OperationModel
) -> Iterator[Refusal]:
    yield from models.refusals(request, operation)
    yield from tags.refusals(request)
    for rule in rules:
        yield from rule.refusals(request)
