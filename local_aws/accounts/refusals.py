"""Refuse the values of parameters that a kind of account does not allow.

moto allows them in each account. AWS refuses them in some accounts. The file of
each kind of account lists the codes and messages of AWS.

A refusal names operations and a parameter as `Rule` does, and what is allowed of it: ``allowed``, a
list of values or ``free-tier-eligible`` for the types of instances that EC2 calls so, or
``maximum``, a number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.models.instance_types import INSTANCE_TYPES

from local_aws.limits.rule import Rule, one_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from local_aws.accounts import Account
    from local_aws.limits.rule import Request


def rules(account: Account) -> tuple[Rule, ...]:
    """Return a rule for each refusal."""
    return tuple(
        Rule(
            operations=tuple(refusal["operations"]),
            parameter=refusal["parameter"],
            allows=_allows(refusal),
            code=refusal["code"],
            message=refusal["message"],
            source="",
        )
        for refusal in account.refusals
    )


def _allows(refusal: dict[str, Any]) -> Callable[[Any, Request], bool]:
    if "maximum" in refusal:
        return lambda value, _request: int(value) <= refusal["maximum"]
    if refusal["allowed"] == "free-tier-eligible":
        return one_of(*(name for name, kind in INSTANCE_TYPES.items() if kind["FreeTierEligible"]))
    return one_of(*refusal["allowed"])
