"""The settings of a local AWS: where its data is, and which port it answers on."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from local_aws import accounts
from local_aws.errors import LocalAwsError

DEFAULT_PORT = 5566


@dataclass(frozen=True)
class Settings:
    """One local AWS.

    Attributes
    ----------
    data_dir
        Absolute folder of everything that it writes (``LOCAL_AWS_DIR``, default ``.local-aws`` in
        the working directory). It also names the instance: its containers carry it as a label.
    port
        TCP port on 127.0.0.1 (``LOCAL_AWS_PORT``).
    base_image
        Image of the hosts, where mmdebstrap cannot build one (``LOCAL_AWS_BASE_IMAGE``).
    rds_seconds
        Least time in seconds from CreateDBInstance, or a restore, to ``available``
        (``LOCAL_AWS_RDS_SECONDS``).
    rds_modify_seconds
        Time in seconds for which a DB instance is ``modifying`` after ModifyDBInstance
        (``LOCAL_AWS_RDS_MODIFY_SECONDS``).
    rds_log_seconds
        Age in seconds from which on LatestRestorableTime moves on when it is described
        (``LOCAL_AWS_RDS_LOG_SECONDS``); RDS has 300.
    rds_failover_seconds
        Time in seconds from the end of a server until its standby starts
        (``LOCAL_AWS_RDS_FAILOVER_SECONDS``); RDS takes 60 to 120.
    ec2_seconds
        Least time in seconds from a launch or a start to ``running`` (``LOCAL_AWS_EC2_SECONDS``).
    ec2_init_seconds
        Time in seconds for which a new host runs cloud-init and holds apt's locks, and holds them
        again afterwards (``LOCAL_AWS_EC2_INIT_SECONDS``).
    stale_seconds
        Time in seconds after which eventually consistent reads show a change
        (``LOCAL_AWS_STALE_SECONDS``).
    stale_secret_list_seconds
        The same for lists of secrets (``LOCAL_AWS_STALE_SECRET_LIST_SECONDS``).
    throttled_percent
        Share of the calls that are throttled, 0 to 100 (``LOCAL_AWS_THROTTLED_PERCENT``).
    throttled_seed
        Decides which calls these are (``LOCAL_AWS_THROTTLED_SEED``).
    account_kinds
        Kinds of account that refuse more than others, see `local_aws.accounts`
        (``LOCAL_AWS_ACCOUNT``).
    """

    data_dir: Path
    port: int = DEFAULT_PORT
    base_image: str | None = None
    rds_seconds: float = 0.0
    rds_modify_seconds: float = 0.5
    rds_log_seconds: float = 5.0
    rds_failover_seconds: float = 5.0
    ec2_seconds: float = 0.0
    ec2_init_seconds: float = 2.0
    lambda_seconds: float = 1.0
    lambda_idle_seconds: float = 0.0
    lambda_interface_seconds: float = 2.0
    stale_seconds: float = 0.0
    stale_secret_list_seconds: float = 0.0
    throttled_percent: float = 0.0
    throttled_seed: str = "0"
    region: str = "us-east-1"
    account: str = "123456789012"
    account_kinds: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the settings from the environment.

        Raises
        ------
        LocalAwsError
            When a variable holds no usable value.
        """
        return cls(
            data_dir=Path(os.environ.get("LOCAL_AWS_DIR") or ".local-aws").absolute(),
            port=_port(os.environ.get("LOCAL_AWS_PORT") or str(DEFAULT_PORT)),
            base_image=os.environ.get("LOCAL_AWS_BASE_IMAGE") or None,
            rds_seconds=_seconds("LOCAL_AWS_RDS_SECONDS"),
            rds_modify_seconds=_seconds("LOCAL_AWS_RDS_MODIFY_SECONDS", "0.5"),
            rds_log_seconds=_seconds("LOCAL_AWS_RDS_LOG_SECONDS", "5"),
            rds_failover_seconds=_seconds("LOCAL_AWS_RDS_FAILOVER_SECONDS", "5"),
            ec2_seconds=_seconds("LOCAL_AWS_EC2_SECONDS"),
            ec2_init_seconds=_seconds("LOCAL_AWS_EC2_INIT_SECONDS", "2"),
            lambda_seconds=_seconds("LOCAL_AWS_LAMBDA_SECONDS", "1"),
            lambda_idle_seconds=_seconds("LOCAL_AWS_LAMBDA_IDLE_SECONDS"),
            lambda_interface_seconds=_seconds("LOCAL_AWS_LAMBDA_INTERFACE_SECONDS", "2"),
            stale_seconds=_seconds("LOCAL_AWS_STALE_SECONDS"),
            stale_secret_list_seconds=_seconds("LOCAL_AWS_STALE_SECRET_LIST_SECONDS"),
            throttled_percent=_percent("LOCAL_AWS_THROTTLED_PERCENT"),
            throttled_seed=os.environ.get("LOCAL_AWS_THROTTLED_SEED") or "0",
            account_kinds=accounts.parse(os.environ.get("LOCAL_AWS_ACCOUNT", "")),
        )

    @property
    def endpoint(self) -> str:
        """URL of every service, the same on the control machine and inside the hosts."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        """Certificate (PEM) of the CA that vouches for the endpoint."""
        return self.data_dir / "ca.pem"

    @property
    def rds_ca_file(self) -> Path:
        """Certificate (PEM) of the CA that vouches for the databases."""
        return self.data_dir / "rds-ca.pem"

    @property
    def keys_dir(self) -> Path:
        """Private keys; readable by root alone."""
        return self.data_dir / "keys"

    @property
    def log_file(self) -> Path:
        """What the server process says."""
        return self.data_dir / "log"

    @property
    def permissions_file(self) -> Path:
        """What the deployer has needed permission for, a line each."""
        return self.data_dir / "permissions"

    @property
    def throttled_file(self) -> Path:
        """Calls that were throttled, a line each."""
        return self.data_dir / "throttled"

    @property
    def policies_dir(self) -> Path:
        """IAM policies of who deploys; without one he may do everything."""
        return self.data_dir / "policies"

    @property
    def policies(self) -> list[dict[str, Any]]:
        """IAM policies of who deploys, as they are now."""
        return _documents(self.policies_dir)

    @property
    def service_control_policies(self) -> list[dict[str, Any]]:
        """Policies of the account's organisation.

        Those of the account's kind, and the files in ``service-control-policies``.
        """
        return [
            *self.account_of_kinds.service_control_policies,
            *_documents(self.data_dir / "service-control-policies"),
        ]

    @property
    def account_of_kinds(self) -> accounts.Account:
        """What is special about the account."""
        return accounts.load(self.account_kinds)

    @property
    def expired(self) -> list[str]:
        """Session tokens that are over: the lines of ``expired``, as it is now."""
        return _lines(self.data_dir / "expired")

    @property
    def pid_file(self) -> Path:
        """Process id of the server process."""
        return self.data_dir / "pid"

    @property
    def s3_dir(self) -> Path:
        """Bytes of the S3 objects."""
        return self.data_dir / "s3"

    @property
    def rds_dir(self) -> Path:
        """One folder per DB instance."""
        return self.data_dir / "rds"

    @property
    def lambda_dir(self) -> Path:
        """Unpacked code, layers and sockets of the functions."""
        return self.data_dir / "lambda"


def _lines(file: Path) -> list[str]:
    """Return the lines of a file that may come and go while local AWS runs."""
    try:
        return file.read_text().split()
    except FileNotFoundError:
        return []


def _documents(folder: Path) -> list[dict[str, Any]]:
    """Return the JSON documents in a folder that may come and go while local AWS runs."""
    return [_document(file, file.stat().st_mtime_ns) for file in sorted(folder.glob("*.json"))]


@lru_cache
def _document(file: Path, changed: int) -> dict[str, Any]:
    del changed
    try:
        document: dict[str, Any] = json.loads(file.read_text())
    except ValueError as error:
        raise LocalAwsError(f"{file} is not a policy: {error}. Write it as JSON.") from error
    return document


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:  # noqa: PLR2004 - the last TCP port
        raise LocalAwsError(f"LOCAL_AWS_PORT={text} is not a TCP port: use 1 to 65535.")
    return int(text)


def _seconds(name: str, default: str = "0") -> float:
    text = os.environ.get(name) or default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise LocalAwsError(f"{name}={text} is not a number of seconds: use 0 or more.")
    return value


def _percent(name: str) -> float:
    text = os.environ.get(name) or "0"
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:  # noqa: PLR2004 - all of them
        raise LocalAwsError(f"{name}: {text} is not a valid percentage: use 0 to 100.")
    return value
