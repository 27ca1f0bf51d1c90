"""What a request meets on its way: VPC endpoints and the policies of buckets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends
from moto.s3.models import s3_backends

from local_aws.services.ec2 import sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local_aws.authorization.needs import Call
    from local_aws.authorization.policies import Document

_Environ = dict[str, Any]


def bucket_policy(call: Call) -> Document | None:
    """Return the policy of the bucket that a call is about; None without one."""
    if call.service != "s3":
        return None
    bucket = s3_backends[call.account]["aws"].buckets.get(call.parameters.get("Bucket") or "")
    if bucket is None or not bucket.policy:
        return None
    document: Document = json.loads(bucket.policy)
    return document


def policy(call: Call, environ: _Environ) -> list[Document] | None:
    """Return the policy of the VPC endpoint that the request comes through; None without one."""
    endpoint = _endpoint(call, environ)
    if endpoint is None:
        return None
    document = endpoint.policy_document
    if not document:
        # Full access, as AWS makes it.
        return None
    return [json.loads(document) if isinstance(document, str) else document]


def source_keys(call: Call, environ: _Environ) -> Mapping[str, tuple[str, ...]]:
    """Return the condition keys of where a request comes from.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/example-bucket-policies-vpc-endpoint.html
    """
    instance = _instance(call, environ)
    if instance is None:
        return {"aws:sourceip": (environ["REMOTE_ADDR"],)}
    endpoint = _endpoint(call, environ)
    if endpoint is not None:
        return {
            "aws:sourcevpce": (endpoint.id,),
            "aws:sourcevpc": (endpoint.vpc_id,),
            "aws:vpcsourceip": (instance.private_ip,),
        }
    return {"aws:sourceip": (instance.public_ip or instance.private_ip,)}


def _instance(call: Call, environ: _Environ) -> Any:
    """Return the instance that a request comes from; None if it comes from elsewhere."""
    identifier = sources.instance(int(environ["REMOTE_PORT"]))
    if identifier is None:
        return None
    for reservation in list(ec2_backends[call.account][call.region].reservations.values()):
        for instance in reservation.instances:
            if instance.id == identifier:
                return instance
    return None


def _endpoint(call: Call, environ: _Environ) -> Any:
    """Return S3's gateway in the routes of the instance's subnet."""
    instance = _instance(call, environ) if call.service == "s3" else None
    if instance is None:
        return None
    backend: Any = ec2_backends[call.account][call.region]
    subnet = instance.nics[0].subnet
    tables = {
        table.id
        for table in list(backend.route_tables.values())
        if any(found.get("SubnetId") == subnet.id for found in table.associations)
    }
    for endpoint in list(backend.vpc_end_points.values()):
        if endpoint.service_name.endswith(".s3") and tables & set(endpoint.route_table_ids or ()):
            return endpoint
    return None
