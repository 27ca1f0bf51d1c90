"""Fixtures that start the real things: local AWS and playbooks."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import hypothesis
import pytest
from botocore.config import Config

from local_aws import profile
from tests import neighbours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The speed at which a machine makes examples is not part of what is tested.
hypothesis.settings.register_profile(
    "random", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
# The same examples in each run, so that a change is judged by what it changed; `make test-full`
# tries new ones.
hypothesis.settings.register_profile(
    "project", hypothesis.settings.get_profile("random"), derandomize=True
)
hypothesis.settings.load_profile("project")

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
# What VPCs of neighbours have, one for each local AWS that may run: nobody's range on the Internet.
DATABASE_RANGES = tuple(ipaddress.ip_network("198.18.0.0/15").subnets(new_prefix=26))
RECAP = re.compile(
    r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE
)


@dataclass(frozen=True)
class Play:
    """What a playbook did."""

    returncode: int
    output: str

    @property
    def recap(self) -> dict[str, int]:
        """Sums of the recap over all hosts, by name."""
        rows = RECAP.findall(self.output)
        names = ("ok", "changed", "unreachable", "failed")
        return {name: sum(int(row[i + 1]) for row in rows) for i, name in enumerate(names)}


@dataclass(frozen=True)
class Permission:
    """What a call needed, as local AWS keeps it.

    Attributes
    ----------
    caller
        ARN of the user or the role.
    keys
        Condition keys of the call and the resource.
    """

    caller: str
    action: str
    resource: str
    keys: dict[str, list[str]]


# Doors that are open already, for as long as their local AWS runs.
_doors: set[tuple[Path, str, int]] = set()


def deploy_policy(deployment: str) -> str:
    """Return the policy of docs/iam/ for a deployment."""
    script = ROOT / "scripts/write_deploy_policy.py"
    return subprocess.run(
        [sys.executable, script, deployment], check=True, text=True, capture_output=True
    ).stdout


@dataclass(frozen=True)
class LocalAws:
    """A local AWS of the tests' own, beside the one a user may have up."""

    directory: Path
    port: int
    variables: dict[str, Any] = field(default_factory=dict)
    # Interfaces of a function outlive it for longer than a run takes from it to the roles.
    settings: dict[str, str] = field(
        default_factory=lambda: {"LOCAL_AWS_LAMBDA_INTERFACE_SECONDS": "60"}
    )
    # Where the playbooks are.
    clone: Path = ROOT
    # Whose neighbours live in the account; nobody's in that of tests of local AWS itself.
    neighbours_of: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """What commands need in their environment to find it."""
        # The configuration is the clone's own, whatever the caller of the tests has exported.
        caller = {name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"}
        return {
            **caller,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "LOCAL_AWS_DIR": str(self.directory),
            "LOCAL_AWS_PORT": str(self.port),
            **self.settings,
        }

    def command(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command of local AWS's own, with `text` as its input."""
        passed = ",".join(("LOCAL_AWS_DIR", "LOCAL_AWS_PORT", *self.settings))
        root = [] if os.geteuid() == 0 else ["sudo", f"--preserve-env={passed}"]
        return subprocess.run(
            [*root, sys.executable, "-m", "local_aws", *arguments],
            cwd=ROOT,
            env=self.environment,
            text=True,
            input=text,
            capture_output=True,
            check=False,
        )

    @property
    def extra_variables(self) -> list[str]:
        """The options that pass this deployment's variables to a playbook."""
        return ["-e", json.dumps(self.variables)]

    def play(self, playbook: str, *arguments: str) -> Play:
        """Run a playbook against it."""
        result = subprocess.run(
            [BIN / "ansible-playbook", playbook, *self.extra_variables, *arguments],
            cwd=self.clone,
            env=self.environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return Play(result.returncode, result.stdout)

    def door(self, address: str, port: int = 5432) -> str:
        """Let this machine reach a private address, as it cannot on AWS; return the address."""
        if (self.directory, address, port) not in _doors:
            done = self.command("door", address, str(port))
            assert done.returncode == 0, done.stdout + done.stderr
            _doors.add((self.directory, address, port))
        return address

    def allow(self, name: str, document: str) -> None:
        """Give who deploys an IAM policy; while he has none, he may do everything."""
        done = self.command("allow", name, text=document)
        assert done.returncode == 0, done.stdout + done.stderr

    def allow_deployment(self, deployment: str) -> None:
        """Give who deploys the policy of docs/iam/ for a deployment, and nothing else."""
        self.allow(deployment, deploy_policy(deployment))

    @contextmanager
    def denied(self, *actions: str) -> Iterator[None]:
        """Let the account's organisation deny actions to who deploys."""
        folder = self.directory / "service-control-policies"
        folder.mkdir(exist_ok=True)
        statement = {"Effect": "Deny", "Action": actions, "Resource": "*"}
        file = folder / "tests.json"
        file.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        yield
        file.unlink()

    @property
    def has_neighbours(self) -> bool:
        """Whether others live in the account."""
        return bool(self.neighbours_of or "deployment" in self.variables)

    def create_neighbours(self) -> neighbours.Neighbours:
        """Create resources of others in the account."""
        return neighbours.create_neighbours_in(
            neighbours.Account(
                self._administrator,
                self.neighbours_of or self.variables["deployment"],
                self.cidr,
                self._neighbours_database_range,
                self._wait_until_consistent,
            )
        )

    @contextmanager
    def among_neighbours(self) -> Iterator[None]:
        """Create resources of others in the account; assert at the end that they are unchanged."""
        settled = self.create_neighbours()
        yield
        assert settled.losses == {}

    @property
    def cidr(self) -> str:
        """Range of the deployment's VPC, as inventory/local has it."""
        name = self.neighbours_of or self.variables["deployment"]
        digest = hashlib.sha1(f"{name}us-east-1".encode(), usedforsecurity=False).hexdigest()
        default = f"10.{128 + int(digest[:4], 16) % 128}.0.0/16"
        return str(self.variables.get("aws_vpc_cidr", default))

    @property
    def _neighbours_database_range(self) -> str | None:
        # Where reads lag, the first call of RDS fails: it is to be the playbooks' call.
        if self.settings.get("LOCAL_AWS_STALE_SECONDS"):
            return None
        return str(DATABASE_RANGES[self.port % len(DATABASE_RANGES)])

    def _administrator(self, service: str) -> Any:
        return self.client(service, attempts=10)

    def _wait_until_consistent(self) -> None:
        # Secrets that are not listed after that are not compared.
        time.sleep(float(self.settings.get("LOCAL_AWS_STALE_SECONDS", 0)))

    @property
    def permissions(self) -> list[Permission]:
        """The permissions that the deployer, and each role, has needed."""
        lines = (self.directory / "permissions").read_text().splitlines()
        return [Permission(*json.loads(line)) for line in lines]

    def permissions_of(self, caller: str) -> list[Permission]:
        """Return what a caller has needed, by the end of its ARN."""
        return [need for need in self.permissions if need.caller.endswith(caller)]

    @property
    def actions(self) -> list[str]:
        """What who deploys has needed, as policies name it, in order."""
        return sorted({need.action for need in self.permissions_of("user/deployer")})

    def client(
        self,
        service: str,
        user: profile.User = profile.ADMINISTRATOR,
        region: str = "us-east-1",
        signature_version: str | None = None,
        attempts: int = 3,
    ) -> Any:
        """Return a boto3 client for it, which may do everything unless `user` is another."""
        retries: Any = {"mode": "standard", "total_max_attempts": attempts}
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=f"https://127.0.0.1:{self.port}",
            verify=str(self.directory / "ca.pem"),
            aws_access_key_id=user.access_key,
            aws_secret_access_key=user.secret_key,
            config=Config(signature_version=signature_version, retries=retries),
        )

    def resources(self, deployment: str, region: str = "us-east-1") -> list[str]:
        """List what carries the deployment's tag, or its name where a service has no such query.

        Roles, instance profiles and buckets are those of all regions.
        """
        ec2, found = self.client("ec2", region=region), []
        filters = [{"Name": "tag:Deployment", "Values": [deployment]}]
        gone = {"terminated", "deleted"}
        for call, key, identifier in [
            (ec2.describe_vpcs, "Vpcs", "VpcId"),
            (ec2.describe_subnets, "Subnets", "SubnetId"),
            (ec2.describe_route_tables, "RouteTables", "RouteTableId"),
            (ec2.describe_internet_gateways, "InternetGateways", "InternetGatewayId"),
            (ec2.describe_vpc_endpoints, "VpcEndpoints", "VpcEndpointId"),
            (ec2.describe_security_groups, "SecurityGroups", "GroupId"),
            (ec2.describe_key_pairs, "KeyPairs", "KeyName"),
            (ec2.describe_addresses, "Addresses", "AllocationId"),
        ]:
            items = call(Filters=filters)[key]
            found += [item[identifier] for item in items if item.get("State") not in gone]
        for reservation in ec2.describe_instances(Filters=filters)["Reservations"]:
            found += [
                instance["InstanceId"]
                for instance in reservation["Instances"]
                if instance["State"]["Name"] not in gone
            ]
        listings = [
            [item[name] for page in pages for item in page[key]]
            for service, operation, key, name in [
                ("iam", "list_roles", "Roles", "RoleName"),
                ("iam", "list_instance_profiles", "InstanceProfiles", "InstanceProfileName"),
                ("s3", "list_buckets", "Buckets", "Name"),
                ("secretsmanager", "list_secrets", "SecretList", "Name"),
                ("lambda", "list_functions", "Functions", "FunctionName"),
                ("logs", "describe_log_groups", "logGroups", "logGroupName"),
                ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
                ("sns", "list_topics", "Topics", "TopicArn"),
                ("rds", "describe_db_instances", "DBInstances", "DBInstanceIdentifier"),
                ("rds", "describe_db_subnet_groups", "DBSubnetGroups", "DBSubnetGroupName"),
                (
                    "rds",
                    "describe_db_parameter_groups",
                    "DBParameterGroups",
                    "DBParameterGroupName",
                ),
                ("rds", "describe_db_snapshots", "DBSnapshots", "DBSnapshotIdentifier"),
            ]
            for pages in [self.client(service, region=region).get_paginator(operation).paginate()]
        ]
        # Several APIs may have one name.
        pages = self.client("apigatewayv2", region=region).get_paginator("get_apis").paginate()
        apis = [api for page in pages for api in page["Items"]]
        found += [
            api["Name"] for api in apis if api.get("Tags", {}).get("Deployment") == deployment
        ]
        budgets = self.client("budgets").describe_budgets(AccountId="123456789012")["Budgets"]
        listings.append([budget["BudgetName"] for budget in budgets])
        # A neighbour's deployment has a name that begins with ours.
        named = re.compile(rf"(^|[/:]){re.escape(deployment)}[-/](?!next[-/])")
        return found + [name for names in listings for name in names if named.search(name)]


def started(
    aws: LocalAws, before_neighbours: Callable[[], object] = lambda: None
) -> Iterator[LocalAws]:
    """Start local AWS for the time of a fixture, and see that it goes without a trace."""
    start = aws.command("start")
    assert start.returncode == 0, start.stdout + start.stderr
    _doors.difference_update({door for door in _doors if door[0] == aws.directory})
    try:
        if "deployment" in aws.variables:
            aws.allow_deployment(aws.variables["deployment"])
        before_neighbours()
        with aws.among_neighbours() if aws.has_neighbours else nullcontext():
            yield aws
    finally:
        stop = aws.command("stop")
    assert stop.returncode == 0, stop.stdout + stop.stderr


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the repository."""
    return ROOT
