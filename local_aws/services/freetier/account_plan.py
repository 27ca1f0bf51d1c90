"""The Free Tier API says on which plan an account is.

moto lacks the service. On AWS ``GetAccountPlanState`` reports the free plan, which refuses types of
instances and long backups, from the paid one. Accounts that were opened before July 2025 have no
plan: the resource is not found. Whoever checks an account before anything is made needs it.

Source:
https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_freetier_GetAccountPlanState.html
"""

from __future__ import annotations

import re
import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from moto import backend_index, backends
from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse

from local_aws.patching import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local_aws.settings import Settings

_NAME = "freetier"
_BASE = r"https?://freetier\.(.+)\.amazonaws\.com"


class NoPlanError(ServiceException):
    """The account has no plan."""

    code = "ResourceNotFoundException"
    message = "Account plan state not found."


class FreeTierBackend(BaseBackend):
    """The plan of one account."""

    plan: str | None = None

    @property
    def _url_module(self) -> Any:
        return SimpleNamespace(url_bases=[_BASE], url_paths={"{0}/$": FreeTierResponse.dispatch})


class FreeTierResponse(BaseResponse):
    """Answers of the service."""

    def __init__(self) -> None:
        super().__init__(service_name=_NAME)

    def get_account_plan_state(self) -> ActionResult:
        """Return the plan of the account."""
        if FreeTierBackend.plan is None:
            raise NoPlanError
        return ActionResult(
            {
                "accountId": self.current_account,
                "accountPlanType": FreeTierBackend.plan,
                "accountPlanStatus": "ACTIVE",
            }
        )


def apply(settings: Settings) -> None:
    """Add the service to those that moto has."""
    if _NAME in backends.list_of_moto_modules():
        raise AttributeError("moto has the Free Tier API by now: this departure can go")
    FreeTierBackend.plan = settings.account_of_kinds.plan
    module = ModuleType(f"moto.{_NAME}")
    # The service answers in one region, for all.
    module.freetier_backends = BackendDict(  # type: ignore[attr-defined]
        FreeTierBackend, _NAME, use_boto3_regions=False, additional_regions=["us-east-1"]
    )
    sys.modules[module.__name__] = module

    def modules() -> Iterable[str]:
        yield from modules_as_before()
        yield _NAME

    modules_as_before = replace(backends, "list_of_moto_modules", modules)
    backend_index.backend_url_patterns.append((_NAME, re.compile(_BASE)))
