"""Where local AWS departs from stock moto, one small file each.

Every file says in its docstring what moto does, what AWS does, and who needs the difference; every
one has a test that fails without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_aws.departures import (
    account_plan,
    debian_images,
    default_security_group,
    documented_limits,
    ec2_dry_run,
    ec2_tag_resource_types,
    http_api_conflicts,
    http_api_endpoint,
    http_api_stages,
    instance_metadata_options,
    instance_profile_replacement,
    instances_forgotten,
    log_delivery_policy,
    network_dependencies,
    pages,
    s3_actions,
    s3_bucket_list,
    s3_bytes_on_disk,
    s3_versions,
    security_group_descriptions,
    security_group_networks,
    security_group_rule_changes,
    service_quotas,
)

if TYPE_CHECKING:
    from local_aws.settings import Settings

_ALL = (
    default_security_group,
    account_plan,
    debian_images,
    ec2_dry_run,
    ec2_tag_resource_types,
    s3_bytes_on_disk,
    http_api_conflicts,
    http_api_endpoint,
    http_api_stages,
    log_delivery_policy,
    instance_metadata_options,
    instance_profile_replacement,
    instances_forgotten,
    network_dependencies,
    s3_actions,
    security_group_descriptions,
    security_group_networks,
    security_group_rule_changes,
    service_quotas,
    pages,
    s3_bucket_list,
    s3_versions,
    documented_limits,
)


def apply(settings: Settings) -> None:
    """Apply every departure; once, before moto answers its first request."""
    for departure in _ALL:
        departure.apply(settings)
