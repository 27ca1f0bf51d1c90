"""What the deployer of backups and restores must be allowed: no more than the policy says.

After the tests that call AWS, whose calls are recorded.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT, deploy_policy
from tests.policy_mutations import documented, mutate, rows
from tests.recovery.conftest import COPY, DRILL, NAME

if TYPE_CHECKING:
    from tests.sites import Site

pytestmark = pytest.mark.slow


def test_recorded_calls_equal_the_actions_of_the_policy(site: Site) -> None:
    files = ROOT / "docs/iam/actions"
    life, newest, own = (
        (files / name).read_text().split()
        for name in ("life.txt", "newest_stack.txt", "recovery.txt")
    )
    beyond = [action for action in site.aws.actions if action not in life + newest]

    assert beyond == own, "\n".join(beyond)


def test_policy_without_one_action_of_recovery_refuses_a_call(site: Site) -> None:
    needed = (ROOT / "docs/iam/actions/recovery.txt").read_text().split()
    permissions = site.aws.permissions_of("user/deployer")
    # A restore needs the policies of both deployments, and each request concerns one of them.
    types: dict[tuple[str, str], set[str]] = {}
    for name in (NAME, COPY, DRILL):
        for row, refused in mutate(json.loads(deploy_policy(name)), permissions).items():
            if row[1] in needed:
                types.setdefault(row, set()).update(filter(None, refused.split(", ")))
    found = rows({row: ", ".join(sorted(refused)) for row, refused in types.items()})

    assert all(types.values()), "\n".join(found)
    assert found == documented("Recovery"), "\n".join(found)
