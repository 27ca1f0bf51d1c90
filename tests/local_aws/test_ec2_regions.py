"""Departure: DescribeRegions lists the regions that are enabled in the account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from tests.conftest import LocalAws


def regions(aws: LocalAws, **asked: Any) -> dict[str, str]:
    """Return the regions that are listed, each with its status."""
    found = aws.client("ec2").describe_regions(**asked)["Regions"]
    return {one["RegionName"]: one["OptInStatus"] for one in found}


def test_enabled_regions_are_listed(aws: LocalAws) -> None:
    found = regions(aws)

    assert set(found.values()) == {"opt-in-not-required"}
    assert {"us-east-1", "us-west-2", "eu-west-1"} < found.keys()
    assert {"af-south-1", "cn-north-1", "us-gov-west-1"} & found.keys() == set()


def test_all_regions_are_those_of_the_partition(aws: LocalAws) -> None:
    found = regions(aws, AllRegions=True)

    assert found["af-south-1"] == "not-opted-in"
    assert {"cn-north-1", "us-gov-west-1"} & found.keys() == set()


def test_regions_are_filtered_and_named(aws: LocalAws) -> None:
    named = [{"Name": "region-name", "Values": ["us-west-2", "af-south-1"]}]

    assert list(regions(aws, Filters=named)) == ["us-west-2"]
    assert list(regions(aws, RegionNames=["us-west-2"])) == ["us-west-2"]
    with pytest.raises(ClientError, match=r"Invalid region names: \[us-west-9\]"):
        regions(aws, RegionNames=["us-west-9"])
