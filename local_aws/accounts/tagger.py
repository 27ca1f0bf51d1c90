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
    from collections.abc import Callable

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
        # Names of what was tagged, by the operation that lists it.
        self._tagged: dict[str, set[str]] = {}

    def tag_all(self) -> None:
        """Tag what was made since the last time, once: who removes the tag has removed it."""
        for operation, path in _EC2.items():
            self._tag_new("ec2", operation, path, self._tag_ec2)
        for operation, path in _RDS.items():
            self._tag_new("rds", operation, path, self._tag_rds)
        self._tag_new("iam", "list_roles", "Roles[].RoleName", self._tag_role)
        path = "InstanceProfiles[].InstanceProfileName"
        self._tag_new("iam", "list_instance_profiles", path, self._tag_instance_profile)
        self._tag_new("s3", "list_buckets", "Buckets[].Name", self._tag_bucket)
        self._tag_new("apigatewayv2", "get_apis", "Items[].ApiId", self._tag_api)
        self._tag_new("apigatewayv2", "get_apis", "Items[].ApiId", self._tag_stages, "stages")
        self._tag_new("lambda", "list_functions", "Functions[].FunctionArn", self._tag_function)
        self._tag_new("logs", "describe_log_groups", "logGroups[].arn", self._tag_log_group)
        self._tag_new("secretsmanager", "list_secrets", "SecretList[].ARN", self._tag_secret)

    def _tag_new(
        self,
        service: str,
        operation: str,
        path: str,
        tag: Callable[[str], bool | None],
        part: str = "",
    ) -> None:
        """Tag those that an operation lists and that are not tagged yet; False is not done yet."""
        names = self._listed(service, operation, path)
        tagged = self._tagged.setdefault(part or operation, set())
        # One of the same name may be made again.
        tagged &= set(names)
        for name in names:
            if name not in tagged:
                # What was listed can be gone, or not ready, and has its turn the next time.
                with contextlib.suppress(ClientError, BotoCoreError):
                    if tag(name) is not False:
                        tagged.add(name)

    def _tag_ec2(self, name: str) -> None:
        self._client("ec2").create_tags(Resources=[name], Tags=self._list)

    def _tag_rds(self, name: str) -> None:
        self._client("rds").add_tags_to_resource(ResourceName=name, Tags=self._list)

    def _tag_role(self, name: str) -> None:
        self._client("iam").tag_role(RoleName=name, Tags=self._list)

    def _tag_instance_profile(self, name: str) -> None:
        iam = self._client("iam")
        iam.tag_instance_profile(InstanceProfileName=name, Tags=self._list)

    def _tag_bucket(self, name: str) -> None:
        s3 = self._client("s3")
        try:
            present = s3.get_bucket_tagging(Bucket=name)["TagSet"]
        except ClientError:
            present = []
        own = [tag for tag in present if tag["Key"] not in self._tags]
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [*own, *self._list]})

    def _tag_api(self, name: str) -> None:
        self._client("apigatewayv2").tag_resource(ResourceArn=self._api(name), Tags=self._tags)

    def _tag_stages(self, name: str) -> bool:
        """Tag the stages of an API; return whether there are any."""
        apis = self._client("apigatewayv2")
        stages = apis.get_stages(ApiId=name)["Items"]
        for stage in stages:
            arn = f"{self._api(name)}/stages/{stage['StageName']}"
            apis.tag_resource(ResourceArn=arn, Tags=self._tags)
        return bool(stages)

    def _api(self, name: str) -> str:
        region = self._client("apigatewayv2").meta.region_name
        return f"arn:aws:apigateway:{region}::/apis/{name}"

    def _tag_function(self, name: str) -> None:
        self._client("lambda").tag_resource(Resource=name, Tags=self._tags)

    def _tag_log_group(self, name: str) -> None:
        self._client("logs").tag_resource(resourceArn=name.removesuffix(":*"), tags=self._tags)

    def _tag_secret(self, name: str) -> None:
        self._client("secretsmanager").tag_resource(SecretId=name, Tags=self._list)

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
