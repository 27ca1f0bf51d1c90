from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import LocalAws


def test_tags_of_an_address_are_found_by_its_resource_type(aws: LocalAws) -> None:
    ec2 = aws.client("ec2")
    tags = [{"ResourceType": "elastic-ip", "Tags": [{"Key": "Name", "Value": "one"}]}]
    address = ec2.allocate_address(Domain="vpc", TagSpecifications=tags)["AllocationId"]

    found = ec2.describe_tags(
        Filters=[
            {"Name": "resource-id", "Values": [address]},
            {"Name": "resource-type", "Values": ["elastic-ip"]},
        ]
    )["Tags"]
    ec2.release_address(AllocationId=address)

    assert [(tag["Key"], tag["Value"]) for tag in found] == [("Name", "one")]
