"""Two deployments of one name in two regions of one account: each has its own roles and end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalAws, Play

HERE, THERE, NOWHERE = "us-east-1", "eu-west-1", "us-west-2"
PLAYBOOKS = ("vpc", "s3", "iam", "secrets", "rds", "ec2")
pytestmark = pytest.mark.slow


def play(aws: LocalAws, playbook: str, region: str, *arguments: str) -> Play:
    done = aws.play(f"playbooks/{playbook}.yml", "-e", f"aws_region={region}", *arguments)
    assert done.returncode == 0, done.output
    return done


def policy(aws: LocalAws, region: str) -> dict[str, Any]:
    """Return what the host of a region is allowed to do."""
    found: dict[str, Any] = aws.client("iam").get_role_policy(
        RoleName=f"prov-mlflow-host-{region}", PolicyName="artifacts"
    )["PolicyDocument"]
    return found


@pytest.fixture(scope="module")
def both(aws: LocalAws) -> Iterator[LocalAws]:
    for region in (HERE, THERE):
        for playbook in PLAYBOOKS:
            play(aws, playbook, region)
    yield aws
    for region in (HERE, THERE):
        play(aws, "destroy", region, "-e", "confirm=prov", "-e", "purge=true")


def test_role_of_each_region_reads_its_own_bucket(both: LocalAws) -> None:
    for region in (HERE, THERE):
        assert policy(both, region)["Statement"][0]["Resource"].endswith(region)
        assert play(both, "iam", region).recap["changed"] == 0


def test_destroy_in_a_region_without_the_deployment_is_refused(both: LocalAws) -> None:
    before = [both.resources("prov", region) for region in (HERE, THERE)]
    refused = both.play(
        "playbooks/destroy.yml", "-e", f"aws_region={NOWHERE}", "-e", "confirm=prov"
    )

    assert refused.returncode != 0
    assert "us-west-2 is not a valid region for deployment prov" in refused.output
    assert "eu-west-1, us-east-1" in refused.output
    assert [both.resources("prov", region) for region in (HERE, THERE)] == before


def test_destroy_asks_with_account_and_region(both: LocalAws) -> None:
    unanswered = both.play("playbooks/destroy.yml", "-e", f"aws_region={THERE}")

    assert unanswered.returncode != 0
    assert "in region eu-west-1 of account 123456789012" in unanswered.output


def test_destroy_in_one_region_leaves_the_other(both: LocalAws) -> None:
    play(both, "destroy", THERE, "-e", "confirm=prov", "-e", "purge=true")

    assert not [name for name in both.resources("prov", THERE) if THERE in name]
    assert (
        both.client("ec2", region=THERE).describe_vpcs(
            Filters=[{"Name": "tag:Deployment", "Values": ["prov"]}]
        )["Vpcs"]
        == []
    )
    assert policy(both, HERE)
    left = both.resources("prov", HERE)
    for playbook in PLAYBOOKS:
        again = play(both, playbook, HERE)
        # Those two write files of .deploy again, which the other region's deployment shared.
        assert again.recap["changed"] == 0 or playbook in {"rds", "ec2"}, again.output
    assert both.resources("prov", HERE) == left
