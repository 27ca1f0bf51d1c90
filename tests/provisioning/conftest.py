"""A local AWS for the playbooks that talk to the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT, LocalAws, started

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    yield from started(
        LocalAws(
            ROOT / ".cache/provisioning",
            5571,
            {"deployment": "prov", "monitoring_enabled": False},
        )
    )
