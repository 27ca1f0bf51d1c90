"""What a call needs permission for: actions, each on resources, each with its condition keys.

A call needs more than the action of its name where it names what belongs to another service, as a
role that is passed on, or gives tags to what it creates. The resource types and condition keys of
each action come from the data set of `actions`. The files here, and `permissions` of EC2 and S3,
say where a request names them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_aws.authorization.needs import named, with_it
from local_aws.authorization.needs.call import Call, Need
from local_aws.services.ec2 import permissions as ec2
from local_aws.services.s3 import permissions as s3

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Call", "Need", "find"]


def find(call: Call) -> Iterator[Need]:
    """Yield all that a call needs permission for."""
    if call.service == "ec2":
        yield from ec2.needs(call)
    elif call.service == "s3":
        yield from s3.needs(call)
    else:
        yield from named.needs(call)
    yield from with_it.needs(call)
