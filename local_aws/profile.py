"""The profile with which clients reach local AWS, as a file in the format of AWS's own tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local_aws.settings import Settings

# Any pair is accepted. The secret is no word that occurs in a name: Ansible masks it everywhere.
ACCESS_KEY = "AKIALOCAL0000000000"
SECRET_KEY = "8d1c2f0e6b7a4953"  # noqa: S105 - it opens nothing


def write(settings: Settings) -> None:
    """Write ``config``: AWS_CONFIG_FILE=.local-aws/config aws s3 ls."""
    (settings.data_dir / "config").write_text(
        "[default]\n"
        f"aws_access_key_id = {ACCESS_KEY}\n"
        f"aws_secret_access_key = {SECRET_KEY}\n"
        f"region = {settings.region}\n"
        f"endpoint_url = {settings.endpoint}\n"
        f"ca_bundle = {settings.ca_file}\n"
    )
