from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import LocalAws


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_newest_debian_is_found_by_owner_and_name(aws: LocalAws, architecture: str) -> None:
    images = aws.client("ec2").describe_images(
        Owners=["136693071363"],
        Filters=[
            {"Name": "name", "Values": [f"debian-13-{architecture}-*"]},
            {"Name": "root-device-type", "Values": ["ebs"]},
            {"Name": "state", "Values": ["available"]},
        ],
    )["Images"]
    assert len(images) == 2
    newest = max(images, key=lambda image: image["CreationDate"])
    assert newest["Name"] == max(image["Name"] for image in images)
    (mapping,) = newest["BlockDeviceMappings"]
    assert mapping["DeviceName"] == newest["RootDeviceName"]


def test_images_of_other_owners_do_not_exist(aws: LocalAws) -> None:
    owners = {image["OwnerId"] for image in aws.client("ec2").describe_images()["Images"]}
    assert owners == {"136693071363"}
