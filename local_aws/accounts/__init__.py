"""Kinds of AWS accounts that refuse what an ordinary account allows.

Each kind is a file of data in this package, named after the kind. ``LOCAL_AWS_ACCOUNT`` chooses one
kind, or several separated by commas. An ordinary account has none.

`free_plan`
    An account of July 2025 or later on the free plan.
`lab`
    An account of AWS Academy's Learner Lab.
`full_log_policy`
    An account whose resource policy of CloudWatch Logs is as long as it can be.
`organisation`
    A member of an organisation that tags each resource and denies all regions but one.

What the fields mean is said at `Account`; each file names its sources.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from local_aws.errors import LocalAwsError

_FOLDER = Path(__file__).parent
KINDS = tuple(sorted(file.stem for file in _FOLDER.glob("*.json")))


@dataclass(frozen=True)
class Account:
    """What is special about an account; the kinds' lists are joined.

    Attributes
    ----------
    plan
        What ``freetier:GetAccountPlanState`` returns; None for an account without a plan.
    caller
        The end of the deployer's ARN, where the deployer is not a user, such as
        ``assumed-role/voclabs/user1``.
    refusals
        Values of parameters that AWS refuses, see `local_aws.accounts.refusals`.
    policies
        Policies of the deployer, beside those of ``<data_dir>/policies``.
    service_control_policies
        Policies of the organisation, beside those of ``<data_dir>/service-control-policies``.
    roles
        Roles that exist from the start. Each has a name, the services that assume it, and the
        names of AWS's policies attached to it; ``instance_profile`` is optional.
    full_log_policy
        Whether the resource policy for log delivery has no room for another log group.
    tags
        Tags that the organisation adds to each resource.
    tag_seconds
        Time in seconds between two runs of what adds the tags.
    """

    plan: str | None = None
    caller: str | None = None
    refusals: list[dict[str, Any]] = field(default_factory=list)
    policies: list[dict[str, Any]] = field(default_factory=list)
    service_control_policies: list[dict[str, Any]] = field(default_factory=list)
    roles: list[dict[str, Any]] = field(default_factory=list)
    full_log_policy: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    tag_seconds: float = 0.0


def parse(text: str) -> tuple[str, ...]:
    """Return the kinds in a list separated by commas.

    Raises
    ------
    LocalAwsError
        When a kind does not exist.
    """
    kinds = tuple(filter(None, (kind.strip() for kind in text.split(","))))
    for kind in kinds:
        if kind not in KINDS:
            raise LocalAwsError(
                f"LOCAL_AWS_ACCOUNT: {kind} is not a valid kind of account: use "
                f"{', '.join(KINDS)}, or several separated by commas."
            )
    return kinds


@lru_cache
def load(kinds: tuple[str, ...]) -> Account:
    """Return the account that is of all these kinds."""
    merged: dict[str, Any] = {}
    for kind in kinds:
        document = json.loads((_FOLDER / f"{kind}.json").read_text())
        del document["description"], document["sources"]
        for name, value in document.items():
            merged[name] = [*merged.get(name, []), *value] if isinstance(value, list) else value
    return Account(**merged)
