"""What an account holds, in a form that can be compared."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jmespath
from botocore.exceptions import ClientError

from tests.neighbours.account import Account, all_at_once

if TYPE_CHECKING:
    from collections.abc import Iterable

# Operations that list, the path to the items, and the member that names one.
LISTS = (
    ("apigatewayv2", "get_apis", "Items[]", "ApiId"),
    ("ec2", "describe_addresses", "Addresses[]", "AllocationId"),
    ("ec2", "describe_instances", "Reservations[].Instances[]", "InstanceId"),
    ("ec2", "describe_internet_gateways", "InternetGateways[]", "InternetGatewayId"),
    ("ec2", "describe_key_pairs", "KeyPairs[]", "KeyPairId"),
    ("ec2", "describe_route_tables", "RouteTables[]", "RouteTableId"),
    ("ec2", "describe_security_groups", "SecurityGroups[]", "GroupId"),
    ("ec2", "describe_subnets", "Subnets[]", "SubnetId"),
    ("ec2", "describe_vpcs", "Vpcs[]", "VpcId"),
    ("iam", "list_instance_profiles", "InstanceProfiles[]", "InstanceProfileName"),
    ("iam", "get_account_authorization_details", "RoleDetailList[]", "RoleName"),
    ("lambda", "list_functions", "Functions[]", "FunctionName"),
    ("logs", "describe_log_groups", "logGroups[]", "logGroupName"),
    ("rds", "describe_db_instances", "DBInstances[]", "DBInstanceIdentifier"),
    ("rds", "describe_db_parameter_groups", "DBParameterGroups[]", "DBParameterGroupName"),
    ("rds", "describe_db_subnet_groups", "DBSubnetGroups[]", "DBSubnetGroupName"),
    ("s3", "list_buckets", "Buckets[]", "Name"),
    ("secretsmanager", "list_secrets", "SecretList[]", "Name"),
)
# What such a list does not say, by the parameter that takes the name.
DETAILS = {
    "get_apis": ("ApiId", ("get_integrations", "get_routes", "get_stages")),
    "list_instance_profiles": ("InstanceProfileName", ("get_instance_profile",)),
    "list_functions": ("FunctionName", ("get_function_concurrency", "get_policy")),
    "describe_db_parameter_groups": ("DBParameterGroupName", ("describe_db_parameters",)),
    "list_buckets": (
        "Bucket",
        (
            "get_bucket_encryption",
            "get_bucket_lifecycle_configuration",
            "get_bucket_policy",
            "get_bucket_tagging",
            "get_bucket_versioning",
            "get_public_access_block",
            "list_object_versions",
        ),
    ),
    "list_secrets": ("SecretId", ("describe_secret", "get_secret_value")),
}
# Of the many that fill pages, one of a kind is asked for details.
CROWD = re.compile(r"another-\d*[1-9]\d*")
# What an organisation adds to everything, see local_aws/accounts.
ADDED_TAGS = {"CostCenter", "CreatedBy"}
TAGS = {"tags", "tagset", "taglist"}
# What changes by itself.
VOLATILE = ADDED_TAGS | {
    "CertificateDetails",
    "DBInstanceStatus",
    "Endpoint",
    "LastAccessedDate",
    # A tag of the organisation's changes it, too.
    "LastChangedDate",
    "LastModified",
    "LastUpdateStatus",
    "LatestRestorableTime",
    "ResponseMetadata",
    "RoleLastUsed",
    "State",
    "StateReason",
    "StateReasonCode",
    "storedBytes",
}


def state(account: Account) -> dict[str, str]:
    """Return all that the account holds: JSON by service, operation and name."""
    found: dict[str, str] = {}
    for service, operation, path, member in LISTS:
        client = account.client(service)
        items = list(_items(client, operation, path))
        parameter, details = DETAILS.get(operation, ("", ()))

        def whole(
            item: Any,
            client: Any = client,
            member: str = member,
            parameter: str = parameter,
            details: tuple[str, ...] = details,
        ) -> list[Any]:
            asked = () if CROWD.fullmatch(str(item[member])) else details
            more = [_answer(client, name, {parameter: item[member]}) for name in asked]
            return [item, *more]

        for item, text in zip(items, map(_text, all_at_once(whole, items)), strict=True):
            found[f"{service} {operation} {item[member]}"] = text
    return found


def _items(client: Any, operation: str, path: str) -> Iterable[Any]:
    if not client.can_paginate(operation):
        return list(jmespath.search(path, getattr(client, operation)()))
    pages = client.get_paginator(operation).paginate()
    return [item for page in pages for item in jmespath.search(path, page)]


def _answer(client: Any, operation: str, arguments: dict[str, str]) -> Any:
    try:
        return getattr(client, operation)(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]


def _text(value: Any) -> str:
    return json.dumps(_settled(value), default=str, sort_keys=True)


def _settled(value: Any) -> Any:
    """Leave out what changes by itself, and the order of lists."""
    if isinstance(value, dict):
        members = {key: _settled(item) for key, item in value.items() if key not in VOLATILE}
        # No tags is as good as a list of none.
        return {key: item for key, item in members.items() if item or key.lower() not in TAGS}
    if isinstance(value, list):
        kept = [_settled(item) for item in value if not _is_added(item)]
        return sorted(kept, key=lambda item: json.dumps(item, default=str, sort_keys=True))
    return value


def _is_added(item: Any) -> bool:
    """Return whether an item of a list is a tag of the organisation's."""
    return isinstance(item, dict) and item.get("Key") in ADDED_TAGS
