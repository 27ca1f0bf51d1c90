"""Service Quotas returns how many Elastic IP addresses the account may have.

moto knows quotas of service ``vpc`` only. AWS lists this one among those of ``ec2``; who is about
to allocate an address looks there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.servicequotas.models import ServiceQuotasBackend

from local_aws.patching import replace

if TYPE_CHECKING:
    from local_aws.settings import Settings

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/elastic-ip-addresses-eip.html
_ADDRESSES = {
    "ServiceCode": "ec2",
    "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
    "QuotaCode": "L-0263D0A3",
    "QuotaName": "EC2-VPC Elastic IPs",
    "Value": 5.0,
    "Unit": "None",
    "Adjustable": True,
    "GlobalQuota": False,
}


def apply(settings: Settings) -> None:
    """Add the quota."""
    del settings

    def get_service_quota(
        self: ServiceQuotasBackend, service_code: str, quota_code: str
    ) -> dict[str, Any]:
        if (service_code, quota_code) == (_ADDRESSES["ServiceCode"], _ADDRESSES["QuotaCode"]):
            return _ADDRESSES
        quota: dict[str, Any] = get_other_quota(self, service_code, quota_code)
        return quota

    get_other_quota = replace(ServiceQuotasBackend, "get_service_quota", get_service_quota)
