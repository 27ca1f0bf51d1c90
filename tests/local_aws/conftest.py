"""A local AWS for the tests of local AWS itself."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.conftest import LocalAws, started
from tests.functions import archive, trusting
from tests.tracking_server import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FUNCTION_POLICY = "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
ROLE = "functions"
NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A running local AWS."""
    settings = {
        # Longer than the first login takes on a busy machine.
        "LOCAL_AWS_EC2_INIT_SECONDS": "8",
        "LOCAL_AWS_LAMBDA_INTERFACE_SECONDS": "2",
        "LOCAL_AWS_LAMBDA_SECONDS": "0",
        "LOCAL_AWS_RDS_LOG_SECONDS": "1",
    }
    yield from started(LocalAws(tmp_path_factory.mktemp("aws"), free_port(), settings=settings))


@pytest.fixture(scope="session")
def http(aws: LocalAws) -> Iterator[requests.Session]:
    """A plain HTTP client that trusts local AWS."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(aws.directory / "ca.pem")
        yield session


@pytest.fixture(scope="session")
def network(aws: LocalAws) -> dict[str, Any]:
    """A VPC with two subnets in two zones, and a security group."""
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.213.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for cidr, zone in (("10.213.1.0/24", "us-east-1a"), ("10.213.2.0/24", "us-east-1b"))
    ]
    group = ec2.create_security_group(GroupName="all", Description="all", VpcId=vpc)["GroupId"]
    return {"vpc": vpc, "subnets": subnets, "group": group}


def create_function_role(aws: LocalAws, name: str) -> str:
    """Create a role for functions with their log and a network; return its ARN."""
    iam = aws.client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusting("lambda"))["Role"]
    iam.attach_role_policy(RoleName=name, PolicyArn=FUNCTION_POLICY)
    return str(role["Arn"])


@pytest.fixture(scope="session")
def role(aws: LocalAws) -> str:
    """The ARN of a role for functions."""
    return create_function_role(aws, ROLE)


@pytest.fixture
def make_function(aws: LocalAws, role: str) -> Iterator[Callable[..., Any]]:
    """Create functions from source; they are deleted at the end of the test."""
    client = aws.client("lambda")
    names: list[str] = []

    def make(source: str, **options: Any) -> Callable[..., Any]:
        # Never the same twice: logs stay.
        name = f"f{next(NUMBERS)}"
        defaults = {"Runtime": "python3.13", "Handler": "code.handler", "Role": role}
        client.create_function(
            **(defaults | {"FunctionName": name, "Code": {"ZipFile": archive(source)}} | options)
        )
        names.append(name)
        wait_for_function(client, name)

        def call(event: Any = None, **how: Any) -> Any:
            answer = client.invoke(FunctionName=name, Payload=json.dumps(event), **how)
            answer["Payload"] = answer["Payload"].read()
            return answer

        call.name = name  # type: ignore[attr-defined]
        return call

    yield make
    for name in names:
        client.delete_function(FunctionName=name)


def wait_for_function(client: Any, name: str) -> None:
    """Wait until a function is created or updated."""
    for waiter in ("function_active_v2", "function_updated_v2"):
        client.get_waiter(waiter).wait(
            FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20}
        )
