"""A dry run of EC2 changes nothing.

moto knows the parameter DryRun for a few operations, and carries the others out. AWS checks the
request and the permissions of every operation, and then answers with an error that says whether it
would have been carried out. Whoever asks for a permission before anything is made needs it.

Source:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/CommonParameters.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse

from local_aws.patching import replace

if TYPE_CHECKING:
    from local_aws.settings import Settings

_PRECONDITION_FAILED = 412


class DryRunOperationError(ServiceException):
    """What AWS answers when the request would have been carried out."""

    code = "DryRunOperation"
    message = "Request would have succeeded, but DryRun flag is set."


def apply(settings: Settings) -> None:
    """Answer dry runs; refusals come before, as they do on AWS."""
    del settings

    def call_action(self: BaseResponse) -> Any:
        if self.boto3_service_name != "ec2" or self._get_param("DryRun") not in {"true", True}:
            return call_any_action(self)
        _, headers, body = self.serialized(ActionResult(DryRunOperationError()))
        return _PRECONDITION_FAILED, headers, body

    call_any_action = replace(BaseResponse, "call_action", call_action)
