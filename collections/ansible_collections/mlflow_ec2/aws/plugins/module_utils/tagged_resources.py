# SPDX-License-Identifier: Apache-2.0
"""What carries given tags, asked of each service itself.

The Resource Groups Tagging API would answer in one request, but knows no roles, needs minutes to
forget what was deleted and to see what was made, and its listing is what a proof would rest on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.mlflow_ec2.aws.plugins.module_utils.secretsmanager import list_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SERVICES = (
    *("ec2", "rds", "s3", "iam", "secretsmanager", "lambda", "apigatewayv2", "logs"),
    *("cloudwatch", "sns", "budgets"),
)
# A deployment can do without these services. Callers without a right to ask them have created
# nothing there.
_OPTIONAL = frozenset({"cloudwatch", "sns", "budgets"})
_DENIED = ("AccessDenied", "AccessDeniedException", "AuthorizationError")
# Partitions without AWS Budgets, by the list of endpoints that botocore has.
_WITHOUT_BUDGETS = frozenset({"aws-us-gov", "aws-eusc"})
# In these states EC2 still lists what is gone.
_GONE = {"terminated", "deleted", "deleting"}
# By operation: the list in its answer, and what names one of it.
_EC2 = {
    "describe_vpcs": ("vpc", "Vpcs", "VpcId"),
    "describe_subnets": ("subnet", "Subnets", "SubnetId"),
    "describe_route_tables": ("route_table", "RouteTables", "RouteTableId"),
    "describe_internet_gateways": ("internet_gateway", "InternetGateways", "InternetGatewayId"),
    "describe_vpc_endpoints": ("vpc_endpoint", "VpcEndpoints", "VpcEndpointId"),
    "describe_security_groups": ("security_group", "SecurityGroups", "GroupId"),
    "describe_key_pairs": ("key_pair", "KeyPairs", "KeyName"),
    "describe_addresses": ("address", "Addresses", "PublicIp"),
    "describe_volumes": ("volume", "Volumes", "VolumeId"),
}
_RDS = {
    "describe_db_instances": (
        "db_instance",
        "DBInstances",
        "DBInstanceIdentifier",
        "DBInstanceArn",
    ),
    "describe_db_snapshots": (
        "db_snapshot",
        "DBSnapshots",
        "DBSnapshotIdentifier",
        "DBSnapshotArn",
    ),
    "describe_db_subnet_groups": (
        "db_subnet_group",
        "DBSubnetGroups",
        "DBSubnetGroupName",
        "DBSubnetGroupArn",
    ),
    "describe_db_parameter_groups": (
        "db_parameter_group",
        "DBParameterGroups",
        "DBParameterGroupName",
        "DBParameterGroupArn",
    ),
}
_NO_TAGS = ("NoSuchTagSet", "NoSuchBucket", "NoSuchEntity", "AccessDenied")
# Lists lag, so that what they hold can be gone.
_NOT_FOUND = (
    "DBInstanceNotFound",
    "DBParameterGroupNotFound",
    "DBSnapshotNotFound",
    "DBSubnetGroupNotFoundFault",
    "ResourceNotFound",
    "ResourceNotFoundException",
)


@dataclass(frozen=True)
class Search:
    """Looks for what carries all of `tags`.

    `client` makes a client of a service. Where a service cannot be asked by tags, only what is
    named with one of `prefixes`, or is one of `names`, is asked for its tags.
    """

    client: Callable[[str], Any]
    tags: dict[str, str]
    prefixes: tuple[str, ...]
    names: tuple[str, ...] = ()
    # Names of secrets, which ListSecrets might not list yet.
    secrets: tuple[str, ...] = ()
    # Regions for which IAM and S3, which answer for all regions, hold resources with these tags.
    elsewhere: set[str] = field(default_factory=set)
    # Names of roles and profiles with these tags and no region: they can be of any.
    regionless: set[str] = field(default_factory=set)
    # Optional services that the caller is not allowed to ask, or that the partition lacks.
    denied: set[str] = field(default_factory=set)

    def resources(self, services: Iterable[str]) -> list[dict[str, str]]:
        """Return `type` and `name` of each, in the order of these of `SERVICES`."""
        found = []
        for service in services:
            try:
                for kind, name in getattr(self, f"_{service}")():
                    found.append({"type": kind, "name": name})
            except is_boto3_error_code(_DENIED):
                if service not in _OPTIONAL:
                    raise
                self.denied.add(service)
        return found

    def _ours(self, tags: Any) -> bool:
        """Return whether these tags, in whatever shape a service gives them, are those wanted."""
        if isinstance(tags, list):
            tags = {tag["Key"]: tag["Value"] for tag in tags}
        return self.tags.items() <= (tags or {}).items()

    def _here(self, region: str | None, client: Any) -> bool:
        """Return whether a resource belongs to the client's region, and note any other one."""
        here = region in (None, client.meta.region_name)
        if region and not here:
            self.elsewhere.add(region)
        return here

    def _named(self, name: str) -> bool:
        return name.startswith(self.prefixes) or name in self.names

    def _ec2(self) -> Iterator[tuple[str, str]]:
        ec2 = self.client("ec2")
        filters = [{"Name": f"tag:{name}", "Values": [value]} for name, value in self.tags.items()]
        for reservation in _pages(ec2, "describe_instances", "Reservations", Filters=filters):
            for instance in reservation["Instances"]:
                if instance["State"]["Name"] not in _GONE:
                    yield "instance", instance["InstanceId"]
        for operation, (kind, key, identifier) in _EC2.items():
            for found in _pages(ec2, operation, key, Filters=filters):
                if str(found.get("State")) not in _GONE:
                    yield kind, found[identifier]

    def _rds(self) -> Iterator[tuple[str, str]]:
        rds = self.client("rds")
        for operation, (kind, key, identifier, arn) in _RDS.items():
            for found in _pages(rds, operation, key):
                tags = found.get("TagList")
                if tags is None and self._named(found[identifier]):
                    tags = _unless_gone(
                        rds.list_tags_for_resource, "TagList", ResourceName=found[arn]
                    )
                if self._ours(tags or []):
                    yield kind, found[identifier]

    def _s3(self) -> Iterator[tuple[str, str]]:
        s3 = self.client("s3")
        # Only pages show the regions.
        for page in s3.get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 1000}):
            for found in page["Buckets"]:
                name = found["Name"]
                if (
                    self._named(name)
                    and self._ours(_tags(s3.get_bucket_tagging, "TagSet", Bucket=name))
                    and self._here(found.get("BucketRegion"), s3)
                ):
                    yield "bucket", name

    def _iam(self) -> Iterator[tuple[str, str]]:
        iam = self.client("iam")
        for found in _pages(iam, "list_instance_profiles", "InstanceProfiles"):
            name = found["InstanceProfileName"]
            if self._named(name) and self._is_ours_here(
                iam,
                name,
                _tags(iam.get_instance_profile, "InstanceProfile", InstanceProfileName=name),
            ):
                yield "instance_profile", name
        for found in _pages(iam, "list_roles", "Roles"):
            name = found["RoleName"]
            if self._named(name) and self._is_ours_here(
                iam, name, _tags(iam.get_role, "Role", RoleName=name)
            ):
                yield "role", name

    def _is_ours_here(self, iam: Any, name: str, tags: list[dict[str, str]]) -> bool:
        """Return whether a resource of IAM is ours and not another region's."""
        if not self._ours(tags):
            return False
        region = next((tag["Value"] for tag in tags if tag["Key"] == "Region"), None)
        if region is None:
            self.regionless.add(name)
        return self._here(region, iam)

    def _secretsmanager(self) -> Iterator[tuple[str, str]]:
        for found in list_secrets(self.client("secretsmanager"), self.tags, self.secrets):
            yield "secret", found["name"]

    def _lambda(self) -> Iterator[tuple[str, str]]:
        functions = self.client("lambda")
        for found in _pages(functions, "list_functions", "Functions"):
            if self._named(found["FunctionName"]) and self._ours(
                _unless_gone(functions.list_tags, "Tags", Resource=found["FunctionArn"])
            ):
                yield "function", found["FunctionName"]

    def _apigatewayv2(self) -> Iterator[tuple[str, str]]:
        for found in _pages(self.client("apigatewayv2"), "get_apis", "Items"):
            if self._ours(found.get("Tags")):
                yield "http_api", found["Name"]

    def _logs(self) -> Iterator[tuple[str, str]]:
        logs = self.client("logs")
        for found in _pages(logs, "describe_log_groups", "logGroups"):
            name = found["logGroupName"]
            if self._named(name.rpartition("/")[2]) and self._ours(
                _unless_gone(
                    logs.list_tags_for_resource,
                    "tags",
                    resourceArn=found["arn"].removesuffix(":*"),
                )
            ):
                yield "log_group", name

    def _cloudwatch(self) -> Iterator[tuple[str, str]]:
        cloudwatch = self.client("cloudwatch")
        for prefix in self.prefixes:
            for found in _pages(
                cloudwatch, "describe_alarms", "MetricAlarms", AlarmNamePrefix=prefix
            ):
                if self._ours(
                    _unless_gone(
                        cloudwatch.list_tags_for_resource, "Tags", ResourceARN=found["AlarmArn"]
                    )
                ):
                    yield "alarm", found["AlarmName"]

    def _sns(self) -> Iterator[tuple[str, str]]:
        sns = self.client("sns")
        for found in _pages(sns, "list_topics", "Topics"):
            name = found["TopicArn"].rpartition(":")[2]
            if self._named(name) and self._ours(
                _unless_gone(sns.list_tags_for_resource, "Tags", ResourceArn=found["TopicArn"])
            ):
                yield "topic", name

    def _budgets(self) -> Iterator[tuple[str, str]]:
        # Budgets exist once per account. Deployers have the right to see those of their deployment.
        budgets, sts = self.client("budgets"), self.client("sts")
        caller = sts.get_caller_identity()
        account, partition = caller["Account"], caller["Arn"].split(":")[1]
        if partition in _WITHOUT_BUDGETS:
            self.denied.add("budgets")
            return
        for prefix in self.prefixes:
            name = f"{prefix}{sts.meta.region_name}"
            try:
                budgets.describe_budget(AccountId=account, BudgetName=name)
            except is_boto3_error_code("NotFoundException"):
                continue
            arn = f"arn:{partition}:budgets::{account}:budget/{name}"
            if self._ours(budgets.list_tags_for_resource(ResourceARN=arn)["ResourceTags"]):
                yield "budget", name


def _pages(client: Any, operation: str, key: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Yield what all pages of an operation list."""
    if not client.can_paginate(operation):
        yield from getattr(client, operation)(**arguments)[key]
        return
    for page in client.get_paginator(operation).paginate(**arguments):
        yield from page[key]


def _unless_gone(ask: Callable[..., Any], key: str, **of: str) -> Any:
    """Return a part of an answer; None if what is asked about has just gone."""
    try:
        return ask(**of)[key]
    except is_boto3_error_code(_NOT_FOUND):
        return None


def _tags(ask: Callable[..., Any], key: str, **of: str) -> Any:
    """Return the tags, none if there are none or what had them has just gone."""
    try:
        found = ask(**of)[key]
        return found.get("Tags") if isinstance(found, dict) else found
    except is_boto3_error_code(_NO_TAGS):
        return []
