"""An HTTP API reports an endpoint that answers.

moto reports a name of amazonaws.com, which leads to AWS itself and answers there for somebody else.
Whoever reads ``ApiEndpoint`` to send a request needs the address at which local AWS serves the API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.apigatewayv2.models import Api

from local_aws.patching import replace

if TYPE_CHECKING:
    from local_aws.settings import Settings


def apply(settings: Settings) -> None:
    """Let every new API report the address of local AWS."""

    def initialize(self: Api, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        self.api_endpoint = f"{settings.endpoint}/_local/execute-api/{self.api_id}"

    original = replace(Api, "__init__", initialize)
