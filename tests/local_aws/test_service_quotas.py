"""Departure: the quota of addresses is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import LocalAws


def test_get_service_quota_returns_those_of_addresses_and_networks(aws: LocalAws) -> None:
    quotas = aws.client("service-quotas")

    addresses = quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-0263D0A3")["Quota"]
    networks = quotas.get_service_quota(ServiceCode="vpc", QuotaCode="L-F678F1CE")["Quota"]

    assert (addresses["Value"], networks["Value"]) == (5, 5)
