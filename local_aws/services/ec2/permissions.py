"""Calls of EC2, whose resources are named by identifiers that show their kind."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends

from local_aws.authorization import actions
from local_aws.authorization.needs.call import Need, read_tags, request_tags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_aws.authorization.conditions import Context
    from local_aws.authorization.needs.call import Call

_KINDS = {
    "acl": "network-acl",
    "ami": "image",
    "dopt": "dhcp-options",
    "eipalloc": "elastic-ip",
    "eni": "network-interface",
    "fl": "vpc-flow-log",
    "i": "instance",
    "igw": "internet-gateway",
    "key": "key-pair",
    "lt": "launch-template",
    "nat": "natgateway",
    "pl": "prefix-list",
    "rtb": "route-table",
    "sg": "security-group",
    "sgr": "security-group-rule",
    "snap": "snapshot",
    "subnet": "subnet",
    "vol": "volume",
    "vpc": "vpc",
    "vpce": "vpc-endpoint",
}
# What the reference calls optional although it is there whenever the image is on EBS.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ExamplePolicies_EC2.html#iam-example-runinstances
_REQUIRED_TOO = {("RunInstances", "volume")}
_IDENTIFIER = re.compile(r"([a-z]+)-[0-9a-f]{8,17}")


def needs(call: Call) -> Iterator[Need]:
    """Yield what a call of EC2 needs permission for, the tags of what it creates included."""
    action = actions.find(f"ec2:{call.operation}")
    if action is None:
        yield Need(f"ec2:{call.operation}")
        return
    identifiers = _identifiers(call)
    tags = _tags_by_kind(call)
    found = False
    for kind, type_ in action.types.items():
        required = type_.required or (call.operation, kind) in _REQUIRED_TOO
        if not kind or not (kind in identifiers or required):
            continue
        found = True
        for identifier in identifiers.get(kind) or ["*"]:
            yield Need(
                action.name,
                _arn(call, type_, identifier),
                kind,
                _resource_keys(call, identifier)
                | _launch_keys(call)
                | request_tags(tags.get(kind, {}) or tags.get("", {})),
            )
    if not found:
        yield Need(action.name, keys=request_tags(tags.get("", {})))
    create_tags = actions.find("ec2:CreateTags")
    for kind, given in tags.items():
        if kind and create_tags:
            yield Need(
                create_tags.name,
                _arn(call, create_tags.types[kind], "*"),
                kind,
                request_tags(given) | {"ec2:createaction": (call.operation,)},
            )


def _identifiers(call: Call) -> dict[str, list[str]]:
    """Return the identifiers in the request, by kind of resource."""
    found: dict[str, list[str]] = defaultdict(list)
    backend: Any = ec2_backends[call.account][call.region]
    for text in dict.fromkeys(_texts(call.parameters)):
        match = _IDENTIFIER.fullmatch(text)
        if match and match[1] in _KINDS:
            found[_KINDS[match[1]]].append(text)
        elif match and match[1] == "rtbassoc":
            found["route-table"] += [
                table.id
                for table in list(backend.route_tables.values())
                if text in table.all_associations_ids
            ]
        elif match and match[1] == "eipassoc":
            found["elastic-ip"] += [
                address.allocation_id
                for address in list(backend.addresses)
                if address.association_id == text
            ]
    if call.parameters.get("KeyName"):
        found["key-pair"] = [call.parameters["KeyName"]]
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _tags_by_kind(call: Call) -> dict[str, dict[str, str]]:
    """Return the tags that a request gives, by kind of resource; of CreateTags under no kind."""
    if call.operation in {"CreateTags", "DeleteTags"}:
        return {"": read_tags(call.parameters.get("Tags"))}
    return {
        part.get("ResourceType", ""): read_tags(part.get("Tags"))
        for part in call.parameters.get("TagSpecifications", [])
        if part.get("Tags")
    }


def _arn(call: Call, kind: actions.ResourceType, identifier: str) -> str:
    # Each ARN of EC2 has one place of its own, the last.
    place = re.findall(r"\$\{(\w+)\}", kind.arn)[-1]
    return actions.arn(kind, {place: identifier}, region=call.region, account=call.account)


def _resource_keys(call: Call, identifier: str) -> Context:
    """Return the condition keys of a resource that is there."""
    backend = ec2_backends[call.account][call.region]
    pair = backend.key_pairs.get(identifier)
    tags = {
        tag["key"]: tag["value"]
        for tag in backend.describe_tags(filters={"resource-id": [pair.id if pair else identifier]})
    }
    keys: Context = {
        f"{prefix}:resourcetag/{key.lower()}": (value,)
        for key, value in tags.items()
        for prefix in ("aws", "ec2")
    }
    vpc = _vpc(backend, identifier)
    if vpc:
        keys["ec2:vpc"] = (f"arn:aws:ec2:{call.region}:{call.account}:vpc/{vpc}",)
    return keys | {"ec2:region": (call.region,)}


def _launch_keys(call: Call) -> Context:
    """Return the condition keys of what a launch asks for."""
    keys: Context = {}
    if call.operation == "RunInstances" and "InstanceType" in call.parameters:
        keys["ec2:instancetype"] = (call.parameters["InstanceType"],)
    sizes = [
        disk["Ebs"]["VolumeSize"]
        for disk in call.parameters.get("BlockDeviceMappings", [])
        if "VolumeSize" in disk.get("Ebs", {})
    ]
    if sizes:
        keys["ec2:volumesize"] = (str(max(sizes)),)
    return keys


def _vpc(backend: Any, identifier: str) -> str | None:
    for group in ("route_tables", "enis"):
        found = getattr(backend, group).get(identifier)
        if found is not None:
            return found.vpc_id if group == "route_tables" else found.subnet.vpc_id
    for groups in list(backend.groups.values()):
        if identifier in groups:
            return str(groups[identifier].vpc_id)
    for subnets in list(backend.subnets.values()):
        if identifier in subnets:
            return str(subnets[identifier].vpc_id)
    return None
