"""A request to S3 is known by the name that policies have for it.

moto names requests after a table in which encryption, ownership, public access and locks of a
bucket are missing, or stand under names that no request has: it takes them for the creation of the
bucket, or for a listing of it. Here they have the names of IAM; who writes a policy needs those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moto.s3.responses import ACTION_MAP

if TYPE_CHECKING:
    from local_aws.settings import Settings

# Part of a bucket in the query, and what reading and writing it is called; to remove it is to
# write it. https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
_PARTS = {
    "encryption": "EncryptionConfiguration",
    "object-lock": "BucketObjectLockConfiguration",
    "ownershipControls": "BucketOwnershipControls",
    "publicAccessBlock": "BucketPublicAccessBlock",
    "requestPayment": "BucketRequestPayment",
}


def apply(settings: Settings) -> None:
    """Complete moto's table."""
    del settings
    actions = ACTION_MAP["BUCKET"]
    actions["HEAD"]["DEFAULT"] = "ListBucket"
    for part, name in _PARTS.items():
        actions["GET"][part] = f"Get{name}"
        actions["PUT"][part] = actions["DELETE"][part] = f"Put{name}"
