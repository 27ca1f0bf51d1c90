"""A share of all calls is throttled, each service in its own words.

moto accepts any rate of calls. AWS limits the rate for each account and region, so that whoever
shares an account with others can be refused at any call. Clients are to try again later.

The choice of calls is a function of the seed, the operation and how often it was called before, so
that a run can be repeated.

Sources:
https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html#API_CreateFunction_Errors
https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html
https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import flask
from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse
from moto.s3.exceptions import S3ClientError
from moto.s3.responses import S3Response

from local_aws.patching import replace

if TYPE_CHECKING:
    from local_aws.settings import Settings


class ThrottledError(ServiceException):
    """What AWS answers; a class of moto's own would be looked up among its services."""


class SlowDownError(S3ClientError):
    """What S3 answers."""

    def __init__(self) -> None:
        """Say it in S3's words."""
        super().__init__("SlowDown", "Please reduce your request rate.")


@dataclass(frozen=True)
class Answer:
    """The answer to a call that is throttled."""

    code: str
    status: int
    message: str = "Rate exceeded"


_QUERY = Answer("Throttling", 400)
_TOO_MANY = Answer("TooManyRequestsException", 429)
_ANSWERS = {
    "apigatewayv2": _TOO_MANY,
    "ec2": Answer("RequestLimitExceeded", 503, "Request limit exceeded."),
    "iam": _QUERY,
    "lambda": _TOO_MANY,
    "rds": _QUERY,
    "service-quotas": Answer("TooManyRequestsException", 400),
    "sts": _QUERY,
}
# The JSON services that are not named above.
_JSON = Answer("ThrottlingException", 400)


class Lottery:
    """Decides which calls are throttled."""

    def __init__(self, settings: Settings) -> None:
        """Begin to count calls."""
        self._settings = settings
        self._calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    def draws(self, service: str, operation: str) -> bool:
        """Return whether the next call of an operation is throttled, and note it."""
        name = f"{service}:{operation}"
        with self._lock:
            self._calls[name] += 1
            text = f"{self._settings.throttled_seed} {name} {self._calls[name]}"
            number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
            drawn = number / 2**64 * 100 < self._settings.throttled_percent
            if drawn:
                with self._settings.throttled_file.open("a") as file:
                    file.write(f"{name}\n")
        return drawn


def apply(settings: Settings) -> None:
    """Throttle calls before they are executed."""
    lottery = Lottery(settings)

    def call_action(self: BaseResponse) -> Any:
        service = str(self.boto3_service_name)
        if not lottery.draws(service, self._get_action()):
            return call_any_action(self)
        answer = _ANSWERS.get(service, _JSON)
        error = ThrottledError(answer.code, answer.message)
        _, headers, body = self.serialized(ActionResult(error))
        return answer.status, headers, body

    # S3 comes by another way, once for each permission that a request needs.
    def authorize_s3(
        self: Any, bucket_name: str | None = None, key_name: str | None = None
    ) -> None:
        if "drawn" not in flask.g:
            flask.g.drawn = lottery.draws("s3", str(self.data.get("Action")))
        if flask.g.drawn and self.method != "OPTIONS":
            raise SlowDownError
        authorize_any_s3(self, bucket_name, key_name)

    def serialized(self: S3Response, result: ActionResult) -> Any:
        status, headers, body = serialized_as_modelled(self, result)
        # The model of S3 has no such error.
        return 503 if isinstance(result.result, SlowDownError) else status, headers, body

    call_any_action = replace(BaseResponse, "call_action", call_action)
    serialized_as_modelled = replace(S3Response, "serialized", serialized)
    authorize_any_s3 = replace(
        ActionAuthenticatorMixin, "_authenticate_and_authorize_s3_action", authorize_s3
    )
