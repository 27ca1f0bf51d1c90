"""A route or a stage that an HTTP API has already cannot be made again.

moto makes a second route with the same key, and replaces the stage. AWS refuses both with a
ConflictException; who forgets to look first should see that here, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.apigatewayv2.models import Api
from moto.core.exceptions import JsonRESTError

from local_aws.patching import replace

if TYPE_CHECKING:
    from local_aws.settings import Settings


class ConflictError(JsonRESTError):
    """What AWS answers."""

    code = 409

    def __init__(self, message: str) -> None:
        """Say what is there already."""
        super().__init__("ConflictException", message)


def apply(settings: Settings) -> None:
    """Look before making a route or a stage."""
    del settings

    def create_route(self: Api, *arguments: Any, **named: Any) -> Any:
        key = named["route_key"]
        if any(route.route_key == key for route in self.routes.values()):
            raise ConflictError(f"Route with key {key} already exists for this API")
        return create_any_route(self, *arguments, **named)

    def create_stage(self: Api, config: dict[str, Any]) -> Any:
        if config["stageName"] in self.stages:
            raise ConflictError("Stage already exists")
        return create_any_stage(self, config)

    create_any_route = replace(Api, "create_route", create_route)
    create_any_stage = replace(Api, "create_stage", create_stage)
