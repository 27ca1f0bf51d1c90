"""The account in which the neighbours live."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# What local AWS answers at a time without that each call waits for the others.
AT_A_TIME = 4


@dataclass(frozen=True)
class Account:
    """An account as its administrator sees it.

    Attributes
    ----------
    client
        Returns a boto3 client of a service.
    deployment
        Name of the deployment whose neighbours these are.
    cidr
        Range of the deployment's VPC.
    database_cidr
        Range for the VPC of the other deployment's database, which is a server on this machine;
        None for a deployment without one.
    settle
        Waits until reads show what was made.
    """

    client: Callable[[str], Any]
    deployment: str
    cidr: str
    database_cidr: str | None
    settle: Callable[[], None]
    number: str = "123456789012"
    region: str = "us-east-1"

    @property
    def other(self) -> str:
        """Name of the other deployment: it begins as ours does."""
        return f"{self.deployment}-next"


def all_at_once(call: Callable[..., Any], items: Iterable[Any]) -> list[Any]:
    """Return what a call returns for each of the items."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(call, items))
