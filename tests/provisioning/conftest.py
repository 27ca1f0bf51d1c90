"""A local AWS for the playbooks that talk to the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT, LocalAws, started

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def account() -> Iterator[LocalAws]:
    """One account for all modules: it takes a while until the neighbours have moved in."""
    yield from started(
        LocalAws(
            ROOT / ".cache/provisioning",
            5571,
            {"deployment": "prov", "monitoring_enabled": False},
        )
    )


@pytest.fixture(scope="module")
def aws(account: LocalAws) -> Iterator[LocalAws]:
    """The account, in which a module finds nothing of its deployment, and leaves nothing."""
    assert account.resources("prov") == []
    yield account
    assert account.resources("prov") == []
