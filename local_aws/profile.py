"""The profiles with which clients reach local AWS, as a file in the format of AWS's own tools."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_aws.errors import LocalAwsError

if TYPE_CHECKING:
    from local_aws.settings import Settings


@dataclass(frozen=True)
class User:
    """A user of the account that is there from the start.

    Attributes
    ----------
    profile
        Its section in the file.
    secret_key
        No word that occurs in a name: Ansible masks it everywhere.
    """

    name: str
    profile: str
    access_key: str
    secret_key: str


# Who deploys: allowed what `<data_dir>/policies` says, everything while that is missing.
DEPLOYER = User("deployer", "default", "AKIALOCALDEPLOYER000", "8d1c2f0e6b7a4953")
# Who looks after the account: allowed everything.
ADMINISTRATOR = User("administrator", "administrator", "AKIALOCALADMIN000000", "3f9b5a7c2e4d8610")
USERS = (DEPLOYER, ADMINISTRATOR)


def write(settings: Settings) -> None:
    """Write ``config``: AWS_CONFIG_FILE=.local-aws/config aws s3 ls."""
    (settings.data_dir / "config").write_text("\n".join(_section(settings, user) for user in USERS))


def allow(settings: Settings, name: str, document: str) -> None:
    """Give the deployer a policy beside those that he has; one of the same name is replaced.

    Raises
    ------
    LocalAwsError
        When IAM does not accept the name or the document.
    """
    if not re.fullmatch(r"[\w+=,.@-]{1,128}", name):
        raise LocalAwsError(
            f"NAME: {name} is not a valid name of a policy: up to 128 letters, digits and +=,.@_-"
        )
    try:
        json.loads(document)["Statement"]
    except (ValueError, KeyError, TypeError) as error:
        raise LocalAwsError(
            f"{name}: the standard input is not a valid policy: {error}. Write IAM's JSON."
        ) from error
    settings.policies_dir.mkdir(parents=True, exist_ok=True)
    (settings.policies_dir / f"{name}.json").write_text(document)


def _section(settings: Settings, user: User) -> str:
    title = "default" if user.profile == "default" else f"profile {user.profile}"
    return (
        f"[{title}]\n"
        f"aws_access_key_id = {user.access_key}\n"
        f"aws_secret_access_key = {user.secret_key}\n"
        f"region = {settings.region}\n"
        f"endpoint_url = {settings.endpoint}\n"
        f"ca_bundle = {settings.ca_file}\n"
    )
