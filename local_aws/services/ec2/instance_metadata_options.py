"""ModifyInstanceMetadataOptions changes what it is given and leaves the rest.

moto takes the options of the request for all there are, so that those which are not given end up
empty. On AWS they stay; who changes one option behind somebody's back should not change the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.models.instances import InstanceBackend

from local_aws.patching import replace

if TYPE_CHECKING:
    from local_aws.settings import Settings

# moto's arguments, and what an instance calls them.
_NAMES = {
    "http_tokens": "http_tokens",
    "hop_limit": "http_put_response_hop_limit",
    "http_endpoint": "http_endpoint",
    "http_protocol": "http_protocol_ipv6",
    "metadata_tags": "instance_metadata_tags",
}


def apply(settings: Settings) -> None:
    """Fill in what is not given."""
    del settings

    def modify(self: Any, instance_id: str, **given: Any) -> Any:
        present = self.get_instance(instance_id).metadata_options
        for argument, name in _NAMES.items():
            if given.get(argument) is None:
                given[argument] = getattr(present, name)
        return modify_all(self, instance_id, **given)

    modify_all = replace(InstanceBackend, "modify_instance_metadata_options", modify)
