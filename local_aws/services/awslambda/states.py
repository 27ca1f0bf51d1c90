"""States of functions: Pending, Active, Inactive; updates that are in progress.

moto's functions are ``Active`` and updated at once. On AWS a new function is ``Pending`` while
Lambda connects it to its VPC, an update is ``InProgress`` for a while, and a function that nobody
has invoked for weeks becomes ``Inactive``: the next invocation fails and makes it ``Pending``.
While it is updated, AWS runs the former code; here the new one runs at once.
Careful clients wait for these states; `verify` and the role `aws_lambda` do.

Source: https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moto.awslambda.exceptions import LambdaClientError

if TYPE_CHECKING:
    from local_aws.settings import Settings


class ConflictError(LambdaClientError):
    """Another operation is in progress."""

    code = 409

    def __init__(self, reason: str) -> None:
        """Give the reason in AWS's words."""
        super().__init__(
            "ResourceConflictException",
            f"The operation cannot be performed at this time. {reason}",
        )


class NotReadyError(LambdaClientError):
    """The function was inactive and is being restored."""

    code = 502

    def __init__(self) -> None:
        """Say what AWS says."""
        super().__init__(
            "ResourceNotReadyException",
            "The function is inactive and its VPC connection is no longer available. Wait for the "
            "VPC connection to reestablish and try again.",
        )


@dataclass
class _Times:
    """When the states of a function end, in seconds of the monotonic clock."""

    used: float
    pending_until: float
    updating_until: float = 0.0
    reason: str = "Creating"


class States:
    """The states of all functions; versions share that of their function."""

    def __init__(self, settings: Settings) -> None:
        """Know no function yet."""
        self._seconds = settings.lambda_seconds
        self._idle = settings.lambda_idle_seconds
        self._times: dict[tuple[str, str, str], _Times] = {}

    def created(self, function: Any) -> None:
        """Note a new function."""
        now = time.monotonic()
        self._times[_key(function)] = _Times(now, now + self._seconds)

    def updated(self, function: Any) -> None:
        """Note an update."""
        now = time.monotonic()
        times = self._of(function)
        times.used, times.updating_until = now, now + self._seconds

    def check_update(self, function: Any) -> None:
        """Refuse a change of a function that is being created or changed.

        Raises
        ------
        ConflictError
            Then.
        """
        self._check_pending(function)
        if self._of(function).updating_until > time.monotonic():
            raise ConflictError(f"An update is in progress for resource: {function.function_arn}")

    def check_invocation(self, function: Any) -> None:
        """Refuse to invoke a function that is not active; wake one that is inactive.

        Raises
        ------
        ConflictError
            While it is pending.
        NotReadyError
            When it was inactive.
        """
        self._check_pending(function)
        now = time.monotonic()
        times = self._of(function)
        inactive = self._inactive(times, now)
        times.used = now
        if inactive:
            times.pending_until, times.reason = now + self._seconds, "Restoring"
            raise NotReadyError

    def describe(self, function: Any) -> dict[str, str]:
        """Return the members of the function's configuration that show its state."""
        now = time.monotonic()
        times = self._of(function)
        if times.pending_until > now:
            found = {
                "State": "Pending",
                "StateReason": "The function is being created."
                if times.reason == "Creating"
                else "The function is being restored.",
                "StateReasonCode": times.reason,
            }
        elif self._inactive(times, now):
            found = {
                "State": "Inactive",
                "StateReason": "The function is idle.",
                "StateReasonCode": "Idle",
            }
        else:
            found = {"State": "Active"}
        status = "InProgress" if times.updating_until > now else "Successful"
        return {**found, "LastUpdateStatus": status}

    def _check_pending(self, function: Any) -> None:
        if self._of(function).pending_until > time.monotonic():
            raise ConflictError("The function is currently in the following state: Pending")

    def _inactive(self, times: _Times, now: float) -> bool:
        busy = max(times.used, times.pending_until, times.updating_until)
        return 0 < self._idle <= now - busy

    def _of(self, function: Any) -> _Times:
        return self._times.setdefault(_key(function), _Times(time.monotonic(), 0.0))


def _key(function: Any) -> tuple[str, str, str]:
    return function.account_id, function.region, function.function_name
