"""The machine images on offer are Debian's.

moto ships a list of old images of other systems. What an instance of local AWS runs is Debian 13,
so an image that says otherwise would lie; and who looks for Debian's official images, by their
owner's account and their names, finds none. Here every region offers Debian's as AWS does: two
builds of Debian 13 and one of Debian 12, for both architectures.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from moto.ec2.models.amis import AMIS, Ami

from local_aws.patching import replace

if TYPE_CHECKING:
    from local_aws.settings import Settings

# https://wiki.debian.org/Cloud/AmazonEC2Image
DEBIAN_ACCOUNT = "136693071363"

# Release, build (date and number), and the identifiers for amd64 and arm64.
_BUILDS = (
    (12, "20260826-2581", "ami-0d12a26b0826a0001", "ami-0d12a26b0826a0002"),
    (13, "20260811-2566", "ami-0d13a26b0811a0001", "ami-0d13a26b0811a0002"),
    (13, "20261013-2629", "ami-0d13a26b1013a0001", "ami-0d13a26b1013a0002"),
)
_CODE_NAMES = {12: "bookworm", 13: "trixie"}


def apply(settings: Settings) -> None:
    """Replace moto's list of images."""
    del settings
    # This variable is how moto knows that the list is not its own; its value is not read again.
    os.environ["MOTO_AMIS_PATH"] = __file__
    AMIS[:] = [image for build in _BUILDS for image in _images(*build)]
    replace(Ami, "block_device_mappings", property(_block_device_mappings))
    get_filter_value = Ami.get_filter_value

    def with_device_filters(self: Ami, filter_name: str, method_name: str | None = None) -> Any:
        if filter_name == "root-device-type":
            return self.root_device_type
        return get_filter_value(self, filter_name, method_name)

    replace(Ami, "get_filter_value", with_device_filters)


def _images(release: int, build: str, amd64: str, arm64: str) -> list[dict[str, Any]]:
    created = f"{build[:4]}-{build[4:6]}-{build[6:8]}T06:26:13.000Z"
    return [
        {
            "ami_id": ami_id,
            "name": f"debian-{release}-{debian_architecture}-{build}",
            "description": f"Debian {release} ({_CODE_NAMES[release]}, {debian_architecture})",
            "image_location": f"amazon/debian-{release}-{debian_architecture}-{build}",
            "owner_id": DEBIAN_ACCOUNT,
            "public": True,
            "state": "available",
            "creation_date": created,
            "architecture": architecture,
            "virtualization_type": "hvm",
            "hypervisor": "xen",
            "image_type": "machine",
            "root_device_type": "ebs",
            "root_device_name": "/dev/xvda",
            "boot_mode": "uefi-preferred" if debian_architecture == "amd64" else "uefi",
        }
        for ami_id, debian_architecture, architecture in (
            (amd64, "amd64", "x86_64"),
            (arm64, "arm64", "arm64"),
        )
    ]


def _block_device_mappings(ami: Ami) -> list[dict[str, Any]]:
    """Return the one disk of Debian's images: 8 GiB of gp3, gone with the instance."""
    return [
        {
            "DeviceName": ami.root_device_name,
            "Ebs": {
                "SnapshotId": ami.ebs_snapshot.id,
                "VolumeSize": 8,
                "DeleteOnTermination": True,
                "VolumeType": "gp3",
                "Encrypted": False,
            },
        }
    ]
