"""All departures of local AWS from stock moto, in the order in which they are applied.

Each is one module, whose docstring says what moto does, what AWS does, and who needs the
difference. Each has a test that fails without it. A departure of one service is in the service's
folder, `local_aws/services/<service>/`; those in this folder concern several services.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_aws.departures import instances_forgotten, pages
from local_aws.limits import requests
from local_aws.services.apigatewayv2 import conflicts, endpoint, log_delivery_policy, stages
from local_aws.services.budgets import changes
from local_aws.services.ec2 import (
    debian_images,
    default_security_group,
    dry_run,
    instance_metadata_options,
    instance_profile_replacement,
    network_dependencies,
    regions,
    security_group_descriptions,
    security_group_networks,
    security_group_rule_changes,
    tag_resource_types,
)
from local_aws.services.freetier import account_plan
from local_aws.services.s3 import (
    actions,
    bucket_list,
    bytes_on_disk,
    conditional_writes,
    object_lock,
    uploads,
    versions,
)
from local_aws.services.servicequotas import quotas
from local_aws.services.sns import confirmation

if TYPE_CHECKING:
    from local_aws.settings import Settings

_ALL = (
    default_security_group,
    account_plan,
    debian_images,
    dry_run,
    tag_resource_types,
    bytes_on_disk,
    conditional_writes,
    conflicts,
    endpoint,
    stages,
    log_delivery_policy,
    instance_metadata_options,
    instance_profile_replacement,
    instances_forgotten,
    network_dependencies,
    regions,
    actions,
    security_group_descriptions,
    security_group_networks,
    security_group_rule_changes,
    quotas,
    changes,
    confirmation,
    pages,
    bucket_list,
    uploads,
    object_lock,
    versions,
    requests,
)


def apply(settings: Settings) -> None:
    """Apply every departure; once, before moto answers its first request."""
    for departure in _ALL:
        departure.apply(settings)
