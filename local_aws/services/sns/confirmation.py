"""Subscriptions by e-mail and HTTP wait for their confirmation.

moto confirms each subscription at once. On AWS the subscriber confirms it, unless the endpoint
is a resource of the account; until then the subscription has no ARN, and nobody can remove it.
Whoever compares the subscriptions of a topic with its settings meets these.

Source: https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.sns.models import SNSBackend
from moto.sns.responses import SNSResponse

from local_aws.patching import replace

if TYPE_CHECKING:
    from moto.sns.models import Subscription

    from local_aws.settings import Settings

_CONFIRMED_BY_SUBSCRIBER = frozenset({"email", "email-json", "http", "https"})
_PENDING = "PendingConfirmation"


def apply(settings: Settings) -> None:
    """Show subscriptions without their ARN until they are confirmed."""
    del settings

    def subscribe(self: SNSResponse) -> ActionResult:
        answer = subscribe_at_once(self)
        if self._get_param("Protocol") in _CONFIRMED_BY_SUBSCRIBER:
            return ActionResult({"SubscriptionArn": "pending confirmation"})
        result: ActionResult = answer
        return result

    def list_subscriptions_by_topic(
        self: SNSBackend, topic_arn: str, next_token: str | None = None
    ) -> tuple[list[Any], Any]:
        found, token = list_confirmed(self, topic_arn, next_token=next_token)
        return [_shown(one) for one in found], token

    subscribe_at_once = replace(SNSResponse, "subscribe", subscribe)
    list_confirmed = replace(SNSBackend, "list_subscriptions_by_topic", list_subscriptions_by_topic)


def _shown(subscription: Subscription) -> Subscription:
    if subscription.protocol not in _CONFIRMED_BY_SUBSCRIBER or subscription.confirmed:
        return subscription
    shown = copy(subscription)
    shown.arn = _PENDING
    return shown
