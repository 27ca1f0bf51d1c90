"""Deploy to an account whose reads lag and whose calls are throttled."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import ROOT, LocalAws, started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Play

pytestmark = pytest.mark.slow

NAME = "lagging"
OLD, NEW = "3.14.0", "3.17.2"


def lagging(port: int, **settings: int) -> Iterator[LocalAws]:
    """Start a local AWS with settings, and with nothing of an earlier run."""
    shutil.rmtree(ROOT / ".deploy" / NAME, ignore_errors=True)
    yield from started(
        LocalAws(
            ROOT / ".cache" / NAME,
            port,
            {"deployment": NAME, "monitoring_enabled": False},
            {f"LOCAL_AWS_{name}": str(value) for name, value in settings.items()},
        )
    )


@pytest.fixture(scope="module")
def stale() -> Iterator[LocalAws]:
    """Reads that lag for 20 seconds, lists of secrets for a minute, and a tenth throttled."""
    yield from lagging(5656, STALE_SECONDS=20, STALE_SECRET_LIST_SECONDS=60, THROTTLED_PERCENT=10)


@pytest.fixture
def unlisted() -> Iterator[LocalAws]:
    """Lists of secrets that lag for as long as AWS says."""
    yield from lagging(5657, STALE_SECRET_LIST_SECONDS=300)


def destroy(aws: LocalAws) -> Play:
    """Delete the deployment and its data."""
    return aws.play("playbooks/destroy.yml", "-e", f"confirm={NAME}", "-e", "purge=true")


def only_ones(aws: LocalAws) -> dict[str, int]:
    """Return how many there are of what could be made twice while reads lag."""
    ec2 = aws.client("ec2")
    filters = [{"Name": "tag:Deployment", "Values": [NAME]}]
    return {
        "vpcs": len(ec2.describe_vpcs(Filters=filters)["Vpcs"]),
        "subnets": len(ec2.describe_subnets(Filters=filters)["Subnets"]),
        "route tables": len(ec2.describe_route_tables(Filters=filters)["RouteTables"]),
        "groups": len(ec2.describe_security_groups(Filters=filters)["SecurityGroups"]),
        "addresses": len(ec2.describe_addresses(Filters=filters)["Addresses"]),
        "endpoints": len(ec2.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]),
        "instances": len(ec2.describe_instances(Filters=filters)["Reservations"]),
        "apis": len(
            [
                api
                for page in aws.client("apigatewayv2").get_paginator("get_apis").paginate()
                for api in page["Items"]
                if api.get("Tags", {}).get("Deployment") == NAME
            ]
        ),
    }


def test_secrets_that_aws_does_not_list_yet_are_deleted(unlisted: LocalAws) -> None:
    made = unlisted.play("playbooks/secrets.yml")
    secrets = unlisted.client("secretsmanager")
    names = ["database-master", "metrics-token", "mlflow-admin"]
    found = [secrets.describe_secret(SecretId=f"{NAME}/{name}")["Name"] for name in names]

    destroyed = destroy(unlisted)

    assert made.returncode == 0, made.output
    assert found == [f"{NAME}/{name}" for name in names]
    listed = [secret["Name"] for secret in secrets.list_secrets()["SecretList"]]
    assert not set(found) & set(listed)
    assert destroyed.returncode == 0, destroyed.output
    for name in found:
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            secrets.describe_secret(SecretId=name)


@pytest.mark.parametrize(
    "arguments",
    [
        ("site.yml", "-e", f"mlflow_version={OLD}", "-e", "mlflow_allow_old=true"),
        # At once, while the last changes are not visible.
        ("site.yml", "--diff", "-e", f"mlflow_version={OLD}", "-e", "mlflow_allow_old=true"),
        ("playbooks/pause.yml", "-e", f"mlflow_version={OLD}"),
        ("playbooks/resume.yml", "-e", f"mlflow_version={OLD}"),
        ("playbooks/upgrade.yml", "-e", f"mlflow_version={NEW}"),
    ],
    ids=["create", "repeat", "pause", "resume", "upgrade"],
)
def test_playbook_when_reads_lag_and_calls_are_throttled_makes_nothing_twice(
    stale: LocalAws, arguments: tuple[str, ...]
) -> None:
    play = stale.play(*arguments)

    assert play.returncode == 0, play.output
    assert only_ones(stale) == {
        "vpcs": 1,
        "subnets": 3,
        "route tables": 2,
        "groups": 3,
        "addresses": 1,
        "endpoints": 1,
        "instances": 1,
        "apis": 1,
    }


def test_destroy_when_reads_lag_and_calls_are_throttled_leaves_nothing(stale: LocalAws) -> None:
    play = destroy(stale)

    calls: list[Any] = (stale.directory / "throttled").read_text().splitlines()
    assert play.returncode == 0, play.output
    assert f"Nothing is left of {NAME}" in play.output
    assert stale.resources(NAME) == []
    assert len(calls) > 50
