"""DescribeTags names addresses and NAT gateways as AWS names them.

moto calls their resource types after its own prefixes (``vpc-elastic-ip``, ``nat-gateway``). AWS
calls them ``elastic-ip`` and ``natgateway``; who asks for the tags of an address filters by that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE

if TYPE_CHECKING:
    from local_aws.settings import Settings


def apply(settings: Settings) -> None:
    """Correct moto's table, which every module of its shares."""
    del settings
    EC2_PREFIX_TO_RESOURCE.update({"eipalloc": "elastic-ip", "nat": "natgateway"})
