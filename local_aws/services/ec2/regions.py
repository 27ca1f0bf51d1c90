"""DescribeRegions lists the regions that are enabled in the account.

moto lists those of all partitions, whether an account can use them or not, and ignores AllRegions,
filters and unknown names. AWS lists those of the caller's partition that are enabled; an ordinary
account has those that opened before March 2019. With AllRegions the others are `not-opted-in`.

Sources:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeRegions.html
https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-regions.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boto3 import Session
from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.availability_zones_and_regions import Region
from moto.ec2.responses import EC2Response

from local_aws.patching import replace

if TYPE_CHECKING:
    from local_aws.settings import Settings

ENABLED = (
    *("ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1"),
    *("ap-southeast-2", "ca-central-1", "eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2"),
    *("eu-west-3", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2"),
)
# Filters, and the attributes that they compare.
_FILTERS = {"endpoint": "endpoint", "opt-in-status": "opt_in_status", "region-name": "name"}


def apply(settings: Settings) -> None:
    """List the regions of the account."""
    del settings
    regions = {name: _region(name) for name in sorted(Session().get_available_regions("ec2"))}

    def describe_regions(self: Any) -> ActionResult:
        self.error_on_dryrun()
        names = self._get_param("RegionNames", [])
        unknown = [name for name in names if name not in regions]
        if unknown:
            raise EC2ClientError(
                "InvalidParameterValue", f"Invalid region names: [{', '.join(unknown)}]"
            )
        # Who names a region gets it.
        every = names or self._get_param("AllRegions") in {True, "true"}
        found = [
            region
            for name, region in regions.items()
            if (not names or name in names) and (every or name in ENABLED)
        ]
        for one in self._get_param("Filters", []):
            attribute = _FILTERS.get(one["Name"])
            if attribute is None:
                raise EC2ClientError(
                    "InvalidParameterValue", f"The filter '{one['Name']}' is invalid"
                )
            found = [region for region in found if getattr(region, attribute) in one["Values"]]
        return ActionResult({"Regions": found})

    replace(EC2Response, "describe_regions", describe_regions)


def _region(name: str) -> Region:
    status = "opt-in-not-required" if name in ENABLED else "not-opted-in"
    return Region(name, f"ec2.{name}.amazonaws.com", status)
