"""Compare each request with the documented limits, before moto sees it."""

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
from local_aws.limits import models, tags
from local_aws.limits.rule import Refusal, Request, Rule
from local_aws.patching import replace
from local_aws.services.apigatewayv2 import limits as apigatewayv2
from local_aws.services.awslambda import limits as awslambda
from local_aws.services.ec2 import limits as ec2
from local_aws.services.iam import limits as iam
from local_aws.services.logs import limits as logs
from local_aws.services.rds import limits as rds
from local_aws.services.s3 import limits as s3
from local_aws.services.secretsmanager import limits as secretsmanager

if TYPE_CHECKING:
    from collections.abc import Iterator

    from moto.core.model import OperationModel

    from local_aws.settings import Settings

# Of others not even the parameters are read.
_SERVICES = frozenset({"apigatewayv2", "ec2", "iam", "lambda", "logs", "rds", "secretsmanager"})
# Where permission and operation have one name; what else S3 does is not looked at.
_S3_OPERATIONS = frozenset({"CreateBucket", "PutBucketTagging"})
_OF_SERVICES = (apigatewayv2, awslambda, ec2, iam, logs, rds, s3, secretsmanager)
RULES: tuple[Rule, ...] = tuple(chain.from_iterable(service.RULES for service in _OF_SERVICES))


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
