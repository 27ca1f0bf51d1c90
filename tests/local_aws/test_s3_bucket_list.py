"""Departure: buckets are listed page by page, with their regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalAws

REGIONS = {"listed-a": "us-east-1", "listed-b": "eu-west-1", "listed-c": "eu-west-1"}


@pytest.fixture
def s3(aws: LocalAws) -> Iterator[Any]:
    client = aws.client("s3")
    for name, region in REGIONS.items():
        elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        aws.client("s3", region=region).create_bucket(
            Bucket=name, **(elsewhere if region != "us-east-1" else {})
        )
    yield client
    for name in REGIONS:
        client.delete_bucket(Bucket=name)


def test_buckets_on_pages_have_their_region(s3: Any) -> None:
    paginator = s3.get_paginator("list_buckets")
    pages = list(paginator.paginate(Prefix="listed-", PaginationConfig={"PageSize": 2}))

    assert [len(page["Buckets"]) for page in pages] == [2, 1]
    assert {b["Name"]: b["BucketRegion"] for page in pages for b in page["Buckets"]} == REGIONS


def test_buckets_of_a_region_are_those_alone(s3: Any) -> None:
    found = s3.list_buckets(BucketRegion="eu-west-1", Prefix="listed-")["Buckets"]

    assert [bucket["Name"] for bucket in found] == ["listed-b", "listed-c"]


def test_buckets_without_a_page_have_no_region(s3: Any) -> None:
    assert not [b for b in s3.list_buckets()["Buckets"] if "BucketRegion" in b]
