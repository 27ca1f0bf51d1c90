"""Budgets can be changed and tagged, and say whom their notifications reach.

moto creates, describes and deletes budgets and notifications only. On AWS a budget can be updated,
has tags, and lists the subscribers of each notification. Whoever compares a budget with its
settings needs all three.

Sources:
https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_budgets_UpdateBudget.html
https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_budgets_TagResource.html
https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_budgets_DescribeSubscribersForNotification.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from moto.budgets.exceptions import NotFoundException
from moto.budgets.responses import BudgetsResponse

from local_aws.patching import replace

if TYPE_CHECKING:
    from moto.budgets.models import Budget

    from local_aws.settings import Settings


def apply(settings: Settings | None) -> None:
    """Add the operations."""
    del settings
    create_without_tags = replace(BudgetsResponse, "create_budget", _create_budget)
    BudgetsResponse.create_budget_without_tags = create_without_tags  # type: ignore[attr-defined]
    for operation in (
        _update_budget,
        _describe_subscribers_for_notification,
        _list_tags_for_resource,
        _tag_resource,
        _untag_resource,
    ):
        name = operation.__name__.removeprefix("_")
        if hasattr(BudgetsResponse, name):
            raise AttributeError(f"moto has {name} of Budgets by now: this departure can go")
        setattr(BudgetsResponse, name, operation)


def find(response: BudgetsResponse, name: str) -> Budget:
    """Return a budget of the caller's account.

    Raises
    ------
    NotFoundException
        When there is none of that name.
    """
    budget = response.backend.budgets[response.current_account].get(name)
    if budget is None:
        raise NotFoundException(f"Unable to get budget: {name} - the budget doesn't exist.")
    return budget


def tags_of(budget: Budget) -> dict[str, str]:
    """Return the tags of a budget, to be read or changed."""
    tags: dict[str, str] = budget.__dict__.setdefault("tags", {})
    return tags


def _create_budget(self: Any) -> str:
    answer: str = self.create_budget_without_tags()
    budget = find(self, self._get_param("Budget")["BudgetName"])
    tags_of(budget).update(_given(self))
    return answer


def _update_budget(self: Any) -> str:
    new = self._get_param("NewBudget")
    budget = find(self, new["BudgetName"])
    budget.budget = {"TimePeriod": budget.budget["TimePeriod"], **new}
    return "{}"


def _describe_subscribers_for_notification(self: Any) -> str:
    asked = self._get_param("Notification")
    for one in find(self, self._get_param("BudgetName")).notifications:
        if one.details == asked:
            return json.dumps({"Subscribers": one.subscribers})
    raise NotFoundException("Unable to get subscribers - the notification doesn't exist.")


def _list_tags_for_resource(self: Any) -> str:
    tags = tags_of(_by_arn(self))
    return json.dumps({"ResourceTags": [{"Key": key, "Value": tags[key]} for key in tags]})


def _tag_resource(self: Any) -> str:
    tags_of(_by_arn(self)).update(_given(self))
    return "{}"


def _untag_resource(self: Any) -> str:
    tags = tags_of(_by_arn(self))
    for key in self._get_param("ResourceTagKeys"):
        tags.pop(key, None)
    return "{}"


def _by_arn(response: Any) -> Budget:
    return find(response, response._get_param("ResourceARN").partition(":budget/")[2])  # noqa: SLF001


def _given(response: Any) -> dict[str, str]:
    tags = response._get_param("ResourceTags") or []  # noqa: SLF001
    return {tag["Key"]: tag["Value"] for tag in tags}
