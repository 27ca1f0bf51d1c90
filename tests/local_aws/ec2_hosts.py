"""Hosts for the tests: launched through the API, used over SSH."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import LocalAws

SECONDS = 90.0
KEY = "lah-key"
IMAGE = "ami-0d13a26b1013a0001"


def wait_until(holds: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Wait for a condition and return what made it true."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
    return found


@dataclass
class Lab:
    """A network with a way to launch hosts into it."""

    aws: LocalAws
    folder: Path
    vpc: str
    subnet: str
    groups: dict[str, str]
    launched: list[str] = field(default_factory=list)

    @property
    def ec2(self) -> Any:
        """A client."""
        return self.aws.client("ec2")

    def launch(self, *groups: str, **options: Any) -> Host:
        """Launch a host; it is terminated with the lab."""
        group_ids = [self.groups[name] for name in groups]
        answer = self.ec2.run_instances(
            **{
                "ImageId": IMAGE,
                "InstanceType": "t3.small",
                "MinCount": 1,
                "MaxCount": 1,
                "KeyName": KEY,
                "NetworkInterfaces": [
                    {
                        "DeviceIndex": 0,
                        "SubnetId": self.subnet,
                        "Groups": group_ids,
                        "AssociatePublicIpAddress": True,
                    }
                ],
                **options,
            }
        )
        instance = answer["Instances"][0]
        assert instance["State"]["Name"] == "pending"
        self.launched.append(instance["InstanceId"])
        return Host(self, instance["InstanceId"])

    def open(self, group: str, port: int, cidr: str) -> None:
        """Open one TCP port of a group."""
        self.ec2.authorize_security_group_ingress(
            GroupId=self.groups[group], IpPermissions=[permission(port, cidr)]
        )

    def close(self, group: str, port: int, cidr: str) -> None:
        """Close what `open` opened."""
        self.ec2.revoke_security_group_ingress(
            GroupId=self.groups[group], IpPermissions=[permission(port, cidr)]
        )


@dataclass
class Host:
    """One instance."""

    lab: Lab
    id: str

    def describe(self) -> dict[str, Any]:
        """Return what the API says."""
        answer = self.lab.ec2.describe_instances(InstanceIds=[self.id])
        found: dict[str, Any] = answer["Reservations"][0]["Instances"][0]
        return found

    @property
    def state(self) -> str:
        """State by name."""
        return str(self.describe()["State"]["Name"])

    @property
    def public(self) -> str:
        """Public address."""
        return str(self.describe()["PublicIpAddress"])

    @property
    def private(self) -> str:
        """Private address."""
        return str(self.describe()["PrivateIpAddress"])

    def wait(self, state: str) -> Host:
        """Wait for a state."""
        wait_until(lambda: self.state == state)
        return self

    def run(self, command: str, *, check: bool = True, data: bytes = b"") -> str:
        """Run a command over SSH, through the public address; return what it printed."""
        result = subprocess.run(
            [
                "ssh",
                *("-i", str(self.lab.folder / "key")),
                *("-o", f"UserKnownHostsFile={self.lab.folder}/known_hosts"),
                *("-o", "StrictHostKeyChecking=accept-new", "-o", f"HostKeyAlias={self.id}"),
                *("-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR"),
                f"admin@{self.public}",
                command,
            ],
            input=data,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        if check:
            assert result.returncode == 0, result.stderr.decode()
        return result.stdout.decode().strip()

    def serve(self, port: int) -> None:
        """Let the host answer HTTP on a port."""
        self.run(
            f"systemctl is-active --quiet serve-{port} || sudo systemd-run --quiet "
            f"--unit=serve-{port} --property=WorkingDirectory=/srv python3 -m http.server {port}"
        )
        self.run(
            "curl --silent --show-error --fail --output /dev/null --retry 50 --retry-delay 1 "
            f"--retry-connrefused http://127.0.0.1:{port}/"
        )

    def metadata(self, path: str) -> str:
        """Ask the metadata service for a path below /latest, as version 2 requires."""
        base = "http://169.254.169.254/latest"
        return self.run(
            f"token=$(curl -sf -X PUT {base}/api/token "
            "-H 'X-aws-ec2-metadata-token-ttl-seconds: 60'); "
            f'curl -sf -H "X-aws-ec2-metadata-token: $token" {base}/{path}'
        )


def permission(port: int, cidr: str) -> dict[str, Any]:
    """Return one TCP port for one range."""
    return {
        "IpProtocol": "tcp",
        "FromPort": port,
        "ToPort": port,
        "IpRanges": [{"CidrIp": cidr}],
    }
