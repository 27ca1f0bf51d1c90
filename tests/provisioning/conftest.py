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
            {
                "deployment": "prov",
                "aws_vpc_cidr": "10.86.0.0/16",
                "aws_vpc_subnets": [
                    {"name": name, "cidr": cidr, "zone": f"us-east-1{zone}", "public": public}
                    for name, cidr, zone, public in [
                        ("public-a", "10.86.1.0/24", "a", True),
                        ("private-a", "10.86.2.0/24", "a", False),
                        ("private-b", "10.86.3.0/24", "b", False),
                    ]
                ],
            },
        )
    )
