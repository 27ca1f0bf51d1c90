# SPDX-License-Identifier: Apache-2.0
"""What the modules around secrets of AWS Secrets Manager share: reading one, and its shape."""

from __future__ import annotations

import base64
import secrets
import string
from contextlib import suppress
from typing import TYPE_CHECKING, Any

with suppress(ImportError):  # Only for SSH keys.
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    boto3_tag_list_to_ansible_dict,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

# What RDS and URLs forbid or quote differently is left out of what may be drawn.
PUNCTUATION = "!#$%&()*+,-.:;<=>?[]^_{|}~"
_DEFAULT_KEY = "alias/aws/secretsmanager"


def character_classes(*, punctuation: bool, exclude: str) -> list[str]:
    """Return the classes of characters that a password is drawn from, empty ones left out."""
    classes = [string.ascii_lowercase, string.ascii_uppercase, string.digits]
    if punctuation:
        classes.append(PUNCTUATION)
    reduced = ["".join(c for c in characters if c not in exclude) for characters in classes]
    return [characters for characters in reduced if characters]


def generate_password(length: int, classes: list[str]) -> str:
    """Draw a password of `length` characters with at least one character of each class.

    Raises
    ------
    ValueError
        If `length` cannot hold one character of each class, or no class is left.
    """
    if not classes:
        raise ValueError("exclude_characters leaves no character to draw from")
    if length < len(classes):
        raise ValueError(f"length must be at least {len(classes)}")
    draw = secrets.SystemRandom()
    characters = [draw.choice(members) for members in classes]
    everything = "".join(classes)
    characters += [draw.choice(everything) for _ in range(length - len(classes))]
    draw.shuffle(characters)
    return "".join(characters)


def generate_fernet_key() -> str:
    """Return 32 random bytes in URL-safe Base64, as `cryptography.fernet` takes them."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def generate_ssh_key() -> str:
    """Return a new Ed25519 key without a passphrase, as OpenSSH keeps private keys."""
    private = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    return private.decode()


def same_key(wanted: str, current: str | None) -> bool:
    """Return whether two names of a KMS key (id, alias or ARN) can be the same key."""

    def bare(name: str) -> str:
        resource = name.rpartition(":")[2]
        return resource.removeprefix("key/")

    return bare(wanted) == bare(current or _DEFAULT_KEY)


def describe_secret(client: Any, name: str) -> dict[str, Any] | None:
    """Return what DescribeSecret says of a secret, also of one that is to be deleted, or None."""
    try:
        answer: dict[str, Any] = client.describe_secret(SecretId=name, aws_retry=True)
    except is_boto3_error_code("ResourceNotFoundException"):
        return None
    answer.pop("ResponseMetadata", None)
    return answer


def read_value(client: Any, name: str) -> str | None:
    """Return the current text of a secret; None if it has none (or it is binary)."""
    try:
        answer = client.get_secret_value(SecretId=name, aws_retry=True)
    except is_boto3_error_code("ResourceNotFoundException"):
        return None
    text: str | None = answer.get("SecretString")
    return text


def list_secrets(
    client: Any, tags: dict[str, str], names: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """Return the facts of the secrets that carry all of these tags, by name.

    ListSecrets can lag by five minutes, so that each secret that it lists, and each of `names`,
    is asked for. https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html
    """
    pages = client.get_paginator("list_secrets").paginate(
        Filters=[{"Key": "tag-key", "Values": list(tags)}]
    )
    # AWS's filter is met by one of the tags, whatever its value.
    listed = {
        entry["Name"] for page in pages for entry in page["SecretList"] if _carries(entry, tags)
    }
    found = (describe_secret(client, name) for name in sorted(listed.union(names)))
    return [
        secret_facts(secret)
        for secret in found
        if secret and not secret.get("DeletedDate") and _carries(secret, tags)
    ]


def _carries(secret: dict[str, Any], tags: dict[str, str]) -> bool:
    return tags.items() <= boto3_tag_list_to_ansible_dict(secret.get("Tags") or []).items()


def secret_facts(description: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a secret as the modules return it: no value, dates as text."""
    versions = description.get("VersionIdsToStages") or {}
    current = [version for version, stages in versions.items() if "AWSCURRENT" in stages]
    tags = boto3_tag_list_to_ansible_dict(description.get("Tags") or [])
    facts: dict[str, Any] = {
        "arn": description["ARN"],
        "name": description["Name"],
        "description": description.get("Description", ""),
        "kms_key_id": description.get("KmsKeyId") or _DEFAULT_KEY,
        "version_id": current[0] if current else None,
    }
    for key in ("CreatedDate", "LastChangedDate", "DeletedDate"):
        date = description.get(key)
        facts.update(camel_dict_to_snake_dict({key: date.isoformat() if date else None}))
    return {**facts, "tags": tags}
