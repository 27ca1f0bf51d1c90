"""Plan, create, repeat and delete: the tests are in the order of a deployment's life."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import LocalAws

# All that talks to the API alone; what runs on the host is Molecule's and the end-to-end test's.
PLAYBOOKS = ["vpc", "s3", "iam", "secrets", "rds", "ec2"]


def test_plan_of_an_empty_account_covers_the_whole_site(aws: LocalAws) -> None:
    play = aws.play("site.yml", "--check", "--diff")

    assert play.returncode == 0, play.output
    assert play.recap["changed"] > 0
    assert "0 to change, 0 to delete, 0 unchanged" in play.output
    assert aws.resources("prov") == []


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_playbook_creates_alone(aws: LocalAws, name: str) -> None:
    play = aws.play(f"playbooks/{name}.yml")

    assert play.returncode == 0, play.output
    assert play.recap["changed"] > 0


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_second_run_changes_nothing(aws: LocalAws, name: str) -> None:
    play = aws.play(f"playbooks/{name}.yml")

    assert play.returncode == 0, play.output
    assert play.recap["changed"] == 0, play.output


def test_run_from_another_address_changes_nothing(aws: LocalAws, tmp_path: Path) -> None:
    (tmp_path / "address").write_text("198.51.100.7\n")
    serve = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/address"
        play = aws.play("playbooks/vpc.yml", "-e", f"operator_address_url={url}")
        server.shutdown()

    assert play.returncode == 0, play.output
    assert play.recap["changed"] == 0, play.output
    said = " ".join(play.output.split())
    assert "the host admits 127.0.0.1/32, and not this machine (198.51.100.7/32)" in said


def test_network_that_lost_its_tags_is_not_made_twice(aws: LocalAws) -> None:
    ec2 = aws.client("ec2")
    ours = [{"Name": "tag:Deployment", "Values": ["prov"]}]
    [network] = ec2.describe_vpcs(Filters=ours)["Vpcs"]
    lost = [tag for tag in network["Tags"] if tag["Key"] != "Name"]
    ec2.delete_tags(Resources=[network["VpcId"]], Tags=lost)
    play = aws.play("playbooks/vpc.yml")
    ec2.create_tags(Resources=[network["VpcId"]], Tags=lost)

    assert play.returncode != 0
    said = " ".join(play.output.split())
    assert f"VPC {network['VpcId']} is named 'prov' and has subnets of this deployment" in said
    after = [found["VpcId"] for found in ec2.describe_vpcs(Filters=ours)["Vpcs"]]
    assert after == [network["VpcId"]]


def test_destroy_without_confirmation_deletes_nothing(aws: LocalAws) -> None:
    before = aws.resources("prov")

    play = aws.play("playbooks/destroy.yml", "-e", "confirm=other")

    assert play.returncode != 0
    assert "Nothing was deleted" in play.output
    assert aws.resources("prov") == before


def test_destroy_leaves_nothing(aws: LocalAws) -> None:
    # Two groups that name each other, which can be deleted in no order.
    ec2 = aws.client("ec2")
    ours = [{"Name": "tag:Deployment", "Values": ["prov"]}]
    found = ec2.describe_security_groups(Filters=ours)["SecurityGroups"]
    groups = {group["GroupName"]: group["GroupId"] for group in found}
    pairs = [{"GroupId": groups["prov-database"]}]
    ec2.authorize_security_group_ingress(
        GroupId=groups["prov-host"],
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": pairs}
        ],
    )
    play = aws.play("playbooks/destroy.yml", "-e", "confirm=prov", "-e", "purge=true")

    assert play.returncode == 0, play.output
    assert aws.resources("prov") == []


def test_destroy_of_nothing_changes_nothing(aws: LocalAws) -> None:
    play = aws.play("playbooks/destroy.yml", "-e", "confirm=prov", "-e", "purge=true")

    assert play.returncode == 0, play.output
    assert play.recap["changed"] == 0, play.output
