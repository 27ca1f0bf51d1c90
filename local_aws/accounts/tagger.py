"""The organisation tags each resource some seconds after it was made.

Organisations tag what their members make, for their bills: a function reads what was made from
CloudTrail, or lists it, and adds tags. Such a tag is neither the deployment's nor drift.

Source: https://aws.amazon.com/blogs/mt/auto-tag-aws-resources/
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import boto3
import jmespath
from botocore.exceptions import BotoCoreError, ClientError

from local_aws import profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local_aws.settings import Settings

Tags = dict[str, str]

# Where EC2 lists what it can tag, as paths to the identifiers.
_EC2 = {
    "describe_addresses": "Addresses[].AllocationId",
    "describe_instances": "Reservations[].Instances[?State.Name!='terminated'][].InstanceId",
    "describe_internet_gateways": "InternetGateways[].InternetGatewayId",
    "describe_key_pairs": "KeyPairs[].KeyPairId",
    "describe_network_interfaces": "NetworkInterfaces[].NetworkInterfaceId",
    "describe_route_tables": "RouteTables[].RouteTableId",
    "describe_security_groups": "SecurityGroups[].GroupId",
    "describe_subnets": "Subnets[].SubnetId",
    "describe_volumes": "Volumes[].VolumeId",
    "describe_vpc_endpoints": "VpcEndpoints[].VpcEndpointId",
    "describe_vpcs": "Vpcs[].VpcId",
}
_RDS = {
    "describe_db_instances": "DBInstances[].DBInstanceArn",
    "describe_db_parameter_groups": "DBParameterGroups[].DBParameterGroupArn",
    "describe_db_snapshots": "DBSnapshots[].DBSnapshotArn",
    "describe_db_subnet_groups": "DBSubnetGroups[].DBSubnetGroupArn",
}


def start(settings: Settings) -> threading.Event:
    """Tag resources in the background until the event that is returned is set."""
    ended = threading.Event()
    account = settings.account_of_kinds
    if account.tags:
        tagger = Tagger(settings, account.tags)

        def run() -> None:
            while not ended.wait(account.tag_seconds):
                tagger.tag_all()

        threading.Thread(target=run, daemon=True).start()
    return ended


class Tagger:
    """Adds tags to all that an account holds in one region, through AWS's own calls."""

    def __init__(self, settings: Settings, tags: Tags) -> None:
        """Tag as the account's administrator."""
        self._tags = tags
        self._list = [{"Key": key, "Value": value} for key, value in tags.items()]
        self._session = boto3.Session(
            profile.ADMINISTRATOR.access_key,
            profile.ADMINISTRATOR.secret_key,
            region_name=settings.region,
        )
        self._place = {"endpoint_url": settings.endpoint, "verify": str(settings.ca_file)}
        self._clients: dict[str, Any] = {}

    def tag_all(self) -> None:
        """Tag what has not all of the tags."""
        for tag in self._taggings():
            # What was listed can be gone, or not ready, and has its turn the next time.
            with contextlib.suppress(ClientError, BotoCoreError):
                tag()

    def _taggings(self) -> Iterator[Callable[[], Any]]:
        yield self._tag_ec2
        yield self._tag_rds
        yield self._tag_iam
        yield self._tag_buckets
        yield self._tag_apis
        for service, operation, path, parameter, tags in (
            ("lambda", "list_functions", "Functions[].FunctionArn", "Resource", self._tags),
            ("logs", "describe_log_groups", "logGroups[].arn", "resourceArn", self._tags),
            ("secretsmanager", "list_secrets", "SecretList[].ARN", "SecretId", self._list),
        ):
            for name in self._listed(service, operation, path):
                arguments = {parameter: name.removesuffix(":*")}
                key = "tags" if service == "logs" else "Tags"
                yield _bind(self._client(service).tag_resource, **arguments, **{key: tags})

    def _tag_ec2(self) -> None:
        for operation, path in _EC2.items():
            names = self._listed("ec2", operation, path)
            if names:
                self._client("ec2").create_tags(Resources=names, Tags=self._list)

    def _tag_rds(self) -> None:
        for operation, path in _RDS.items():
            for name in self._listed("rds", operation, path):
                with contextlib.suppress(ClientError):
                    self._client("rds").add_tags_to_resource(ResourceName=name, Tags=self._list)

    def _tag_iam(self) -> None:
        iam = self._client("iam")
        for name in self._listed("iam", "list_roles", "Roles[].RoleName"):
            iam.tag_role(RoleName=name, Tags=self._list)
        path = "InstanceProfiles[].InstanceProfileName"
        for name in self._listed("iam", "list_instance_profiles", path):
            iam.tag_instance_profile(InstanceProfileName=name, Tags=self._list)

    def _tag_buckets(self) -> None:
        s3 = self._client("s3")
        for name in self._listed("s3", "list_buckets", "Buckets[].Name"):
            try:
                present = s3.get_bucket_tagging(Bucket=name)["TagSet"]
            except ClientError:
                present = []
            own = [tag for tag in present if tag["Key"] not in self._tags]
            s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [*own, *self._list]})

    def _tag_apis(self) -> None:
        apis = self._client("apigatewayv2")
        region = apis.meta.region_name
        for api in self._listed("apigatewayv2", "get_apis", "Items[].ApiId"):
            arn = f"arn:aws:apigateway:{region}::/apis/{api}"
            apis.tag_resource(ResourceArn=arn, Tags=self._tags)
            for stage in apis.get_stages(ApiId=api)["Items"]:
                stage_arn = f"{arn}/stages/{stage['StageName']}"
                apis.tag_resource(ResourceArn=stage_arn, Tags=self._tags)

    def _listed(self, service: str, operation: str, path: str) -> list[str]:
        """Return the names of what a service lists; none when it cannot be asked."""
        client = self._client(service)
        try:
            if not client.can_paginate(operation):
                return jmespath.search(path, getattr(client, operation)()) or []
            pages = client.get_paginator(operation).paginate()
            return [name for page in pages for name in jmespath.search(path, page) or []]
        except (ClientError, BotoCoreError):
            return []

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._session.client(service, **self._place)
        return self._clients[service]


def _bind(call: Callable[..., Any], **arguments: Any) -> Callable[[], Any]:
    return lambda: call(**arguments)
