"""Others who live in the account: no playbook may fail because of them, or touch what is theirs.

Each suite starts with three kinds of neighbours, and ends with a comparison of what they have:

- another deployment of this project, whose name begins with the name of ours;
- somebody whose resources have our names, where AWS lets several have one, and other tags;
- somebody with so many resources that no list of theirs fits on one page, as far as AWS's default
  quotas allow (of parameter groups and snapshots they allow no second page).
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.neighbours.account import Account
from tests.neighbours.comparison import state
from tests.neighbours.moving_in import move_in

__all__ = ["Account", "Neighbours", "create_neighbours_in"]


@dataclass(frozen=True)
class Neighbours:
    """The other users of an account, and what they had at the start."""

    account: Account
    before: dict[str, str]

    def everything(self) -> dict[str, str]:
        """All that the account holds now, by service, operation and name."""
        return state(self.account)

    @property
    def losses(self) -> dict[str, tuple[str, str | None]]:
        """What is no longer as it was: what they had, and have, by service, operation and name."""
        after = self.everything()
        return {
            name: (had, after.get(name))
            for name, had in self.before.items()
            if after.get(name) != had
        }


def create_neighbours_in(account: Account) -> Neighbours:
    """Let the neighbours move in."""
    move_in(account)
    return Neighbours(account, state(account))
