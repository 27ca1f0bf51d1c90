"""Sessions end.

AWS refuses the credentials of a session (those with a session token) once they have expired; moto
takes any token for ever. Who works in a lab account wants to know what happens when the lab ends.

A request that is signed with a session token which is a line of ``<data_dir>/expired`` is answered
with ExpiredToken, or RequestExpired where EC2 is asked.
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.exceptions import _RESTError as RESTError  # AccessDenied has no other base
from moto.s3.exceptions import S3ClientError

from local_aws.patching import replace

if TYPE_CHECKING:
    from local_aws.settings import Settings


class SessionExpiredError(RESTError):
    """What AWS answers by its services' query and JSON protocols."""

    code = HTTPStatus.FORBIDDEN

    def __init__(self, service: str) -> None:
        super().__init__(
            "RequestExpired" if service == "ec2" else "ExpiredToken",
            "The security token included in the request is expired",
        )


def apply(settings: Settings) -> None:
    """Look at the session of each request before moto does what it wants."""

    def authorize(self: Any, iam_request: type, resource: str = "*") -> None:
        token = self.headers.get("X-Amz-Security-Token")
        if token and token in settings.expired:
            if self.service_name == "s3":
                raise S3ClientError("ExpiredToken", "The provided token has expired.")
            raise SessionExpiredError(self.service_name)
        authorize_as_before(self, iam_request, resource)

    authorize_as_before = replace(
        ActionAuthenticatorMixin, "_authenticate_and_authorize_action", authorize
    )
