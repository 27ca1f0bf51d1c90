"""Limits of EC2.

moto itself knows the sizes of networks and subnets, and that subnets are inside their network and
do not overlap.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends

from local_aws.limits.rule import Rule, between, matches, one_of

if TYPE_CHECKING:
    from local_aws.limits.rule import Request

_API = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/"
_CHARACTERS = "a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"
_TEXT = r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}"
_VALID = (
    f"Valid descriptions are strings less than 256 characters from the following set: {_CHARACTERS}"
)
_USER_DATA_BYTES = 16384
# In GiB.
_VOLUME_SIZES = {
    "gp2": (1, 16384),
    "gp3": (1, 65536),
    "io1": (4, 16384),
    "io2": (4, 65536),
    "sc1": (125, 16384),
    "st1": (125, 16384),
    "standard": (1, 1024),
}
_VOLUME_IOPS = {"gp3": (3000, 80000), "io1": (100, 64000), "io2": (100, 256000)}


def _is_of_supported_size(volume: dict[str, Any], _request: Request) -> bool:
    low, high = _VOLUME_SIZES.get(volume.get("VolumeType", "gp2"), (1, 65536))
    return low <= int(volume.get("VolumeSize", low)) <= high


def _has_supported_iops(volume: dict[str, Any], _request: Request) -> bool:
    low, high = _VOLUME_IOPS.get(volume.get("VolumeType", "gp2"), (0, 256000))
    return low <= int(volume.get("Iops", low)) <= high


def _holds_the_image(mapping: dict[str, Any], request: Request) -> bool:
    size = mapping.get("Ebs", {}).get("VolumeSize")
    images = ec2_backends[request.account][request.region].describe_images()
    wanted = request.parameters.get("ImageId")
    return size is None or all(
        int(size) >= disk["Ebs"]["VolumeSize"]
        for image in images
        if image.id == wanted
        for disk in image.block_device_mappings
        if disk["DeviceName"] == mapping.get("DeviceName")
    )


RULES = (
    Rule(
        ("ec2:CreateSecurityGroup",),
        "GroupName",
        matches(f"(?!sg-){_TEXT}"),
        "InvalidParameterValue",
        "Invalid security group name. It must not begin with sg- and be of less than 256 "
        f"characters from the following set: {_CHARACTERS}",
        _API + "API_CreateSecurityGroup.html",
    ),
    Rule(
        ("ec2:CreateSecurityGroup",),
        "Description",
        matches(_TEXT),
        "InvalidParameterValue",
        f"Invalid security group description. {_VALID}",
        _API + "API_CreateSecurityGroup.html",
    ),
    *(
        Rule(
            (
                "ec2:AuthorizeSecurityGroupIngress",
                "ec2:AuthorizeSecurityGroupEgress",
                "ec2:UpdateSecurityGroupRuleDescriptionsIngress",
                "ec2:UpdateSecurityGroupRuleDescriptionsEgress",
            ),
            f"IpPermissions[].{ranges}[].Description",
            matches(_TEXT),
            "InvalidParameterValue",
            f"Invalid rule description. {_VALID}",
            f"{_API}API_{page}.html",
        )
        for ranges, page in (("IpRanges", "IpRange"), ("UserIdGroupPairs", "UserIdGroupPair"))
    ),
    Rule(
        ("ec2:ImportKeyPair", "ec2:CreateKeyPair"),
        "KeyName",
        matches(r"[\x00-\x7f]{1,255}"),
        "InvalidParameterValue",
        "Value for parameter KeyName is invalid. It may have up to 255 ASCII characters.",
        _API + "API_CreateKeyPair.html",
    ),
    Rule(
        ("ec2:RunInstances",),
        "UserData",
        lambda value, _request: len(base64.b64decode(value)) <= _USER_DATA_BYTES,
        "InvalidParameterValue",
        f"User data is limited to {_USER_DATA_BYTES} bytes",
        "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html",
    ),
    Rule(
        ("ec2:RunInstances",),
        "BlockDeviceMappings[]",
        _holds_the_image,
        "InvalidBlockDeviceMapping",
        "A volume is smaller than the snapshot of the image that it is made of.",
        _API + "API_EbsBlockDevice.html",
    ),
    Rule(
        ("ec2:RunInstances",),
        "BlockDeviceMappings[].Ebs",
        _is_of_supported_size,
        "InvalidParameterValue",
        "The size of a volume is not supported for its type.",
        _API + "API_EbsBlockDevice.html",
    ),
    Rule(
        ("ec2:RunInstances",),
        "BlockDeviceMappings[].Ebs",
        _has_supported_iops,
        "InvalidParameterValue",
        "The IOPS of a volume are not supported for its type.",
        _API + "API_EbsBlockDevice.html",
    ),
    Rule(
        ("ec2:RunInstances",),
        "BlockDeviceMappings[].Ebs.Throughput",
        between(125, 2000),
        "InvalidParameterValue",
        "Value ({value}) for parameter throughput is invalid. It is from 125 to 2000 MiB/s.",
        _API + "API_EbsBlockDevice.html",
    ),
    Rule(
        ("ec2:RunInstances",),
        "BlockDeviceMappings[].Ebs.VolumeType",
        one_of(*_VOLUME_SIZES),
        "InvalidParameterValue",
        "Value ({value}) for parameter volumeType is invalid.",
        _API + "API_EbsBlockDevice.html",
    ),
    *(
        Rule(
            (operation,),
            parameter,
            between(1, 64),
            "InvalidParameterValue",
            "Value ({value}) for parameter HttpPutResponseHopLimit is invalid. It is from 1 to 64.",
            _API + "API_InstanceMetadataOptionsRequest.html",
        )
        for operation, parameter in (
            ("ec2:RunInstances", "MetadataOptions.HttpPutResponseHopLimit"),
            ("ec2:ModifyInstanceMetadataOptions", "HttpPutResponseHopLimit"),
        )
    ),
)
