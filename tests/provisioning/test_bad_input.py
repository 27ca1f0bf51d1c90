"""What is wrong is said once, with its cure, before anything is created."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import deploy_policy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import LocalAws


def first_quick(first: tuple[Any, ...], *others: tuple[Any, ...]) -> list[Any]:
    """Return cases of which make test runs the first: each starts Ansible, for seconds."""
    return [first, *(pytest.param(*other, marks=pytest.mark.slow) for other in others)]


def test_local_aws_not_running_names_the_cure(tmp_path: Path, aws: LocalAws) -> None:
    play = replace(aws, directory=tmp_path, port=5573).play("site.yml")

    assert play.returncode != 0
    assert "make up" in play.output
    assert "-i inventory/aws" in play.output


def test_invalid_deployment_name_is_refused(aws: LocalAws) -> None:
    play = aws.play("site.yml", "-e", "deployment=My_Deployment")

    assert play.returncode != 0
    assert "lower-case letters" in play.output


@pytest.mark.slow
def test_invalid_range_is_refused_with_an_example(aws: LocalAws) -> None:
    play = aws.play("site.yml", "-e", '{"allowed_cidrs": ["my-office"]}')

    assert play.returncode != 0
    assert "203.0.113.7/32" in play.output


def test_zone_that_the_region_lacks_is_named(aws: LocalAws) -> None:
    subnet = '{"name": "public-a", "cidr": "10.0.1.0/24", "zone": "mars-1a", "public": true}'
    private = [subnet.replace("true", "false").replace(".1.", f".{i}.") for i in (2, 3)]
    private[1] = private[1].replace("mars-1a", "us-east-1a")
    subnets = ", ".join([subnet, *private])
    play = aws.play(
        "site.yml", "-e", f'{{"aws_vpc_cidr": "10.0.0.0/16", "aws_vpc_subnets": [{subnets}]}}'
    )

    assert play.returncode != 0
    assert "mars-1a" in play.output
    assert aws.resources("prov") == []


def test_variables_of_wrong_name_or_type_are_named_together(aws: LocalAws) -> None:
    play = aws.play("site.yml", "-e", "mlflow_tsl=off mlflow_tls=perhaps allowed_cidrs=my-office")

    assert play.returncode != 0
    assert "Is mlflow_tls meant?" in play.output
    assert "mlflow_tls: argument" in play.output
    assert "allowed_cidrs: 'my-office' is not a list" in play.output
    assert play.recap["changed"] == 0


def test_preflight_new_deployment_of_an_old_release_is_refused(aws: LocalAws) -> None:
    play = aws.play("playbooks/preflight.yml", "-e", "mlflow_version=3.14.0")
    allowed = aws.play(
        "playbooks/preflight.yml", "-e", "mlflow_version=3.14.0", "-e", "mlflow_allow_old=true"
    )

    assert play.returncode != 0
    assert "mlflow_version: 3.14.0 is not a valid version for a new deployment" in play.output
    assert play.recap["changed"] == 0
    assert allowed.returncode == 0, allowed.output


@pytest.mark.slow
def test_engine_version_that_the_region_lacks_is_named(aws: LocalAws) -> None:
    play = aws.play("site.yml", "-e", "aws_rds_engine_version=99")

    assert play.returncode != 0
    assert "no PostgreSQL 99" in play.output
    assert aws.resources("prov") == []


@pytest.mark.parametrize(
    ("setting", "cure"),
    first_quick(
        ("aws_rds_storage_gib=19", "aws_rds_storage_gib: 19 is not a valid size"),
        ("aws_rds_max_storage_gib=21", "22 or more"),
        ("aws_rds_backup_days=36", "aws_rds_backup_days: 36 is not a valid number of days"),
        ("aws_rds_instance_class=db.t2.micro", "aws_rds_instance_class=db.t4g.micro"),
        ("aws_lambda_log_days=31", "30, 60"),
        ("aws_s3_noncurrent_days=0", "aws_s3_noncurrent_days: 0 is not a valid number of days"),
    ),
)
def test_invalid_database_or_log_setting_is_refused(aws: LocalAws, setting: str, cure: str) -> None:
    play = aws.play("site.yml", "-e", setting)

    assert play.returncode != 0
    assert cure in play.output
    assert play.recap["changed"] == 0
    assert aws.resources("prov") == []


def test_unknown_region_is_named(aws: LocalAws) -> None:
    play = aws.play("site.yml", "-e", "aws_region=mars-1")

    assert play.returncode != 0
    assert "Region 'mars-1' does not answer" in play.output
    assert aws.resources("prov") == []


@pytest.mark.parametrize(
    ("setting", "said"),
    first_quick(
        ("aws_region=eu-west-1", "eu-west-1 is not a valid region: this account may use us-east-1"),
        ("aws_ec2_instance_type=t3.xlarge", "'t3.xlarge' is not an allowed size"),
        ("aws_rds_instance_class=db.t3.large", "'db.t3.large' is not an allowed size"),
    ),
)
def test_setting_that_a_lab_does_not_allow_is_refused(
    aws: LocalAws, setting: str, said: str
) -> None:
    play = aws.play("site.yml", "-e", "@inventory/lab.yml", "-e", setting)

    assert play.returncode != 0
    assert said in " ".join(play.output.split()), play.output
    assert play.recap["changed"] == 0


@pytest.fixture
def session(aws: LocalAws) -> Iterator[str]:
    """The token of a role's session, whose credentials the profile has for the time of a test."""
    iam, name = aws.client("iam"), "session"
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    trust = {"Version": "2012-10-17", "Statement": statement}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=deploy_policy("prov"))
    given = aws.client("sts").assume_role(RoleArn=role, RoleSessionName=name)["Credentials"]
    profile = aws.directory / "config"
    before = profile.read_text()
    profile.write_text(
        "[default]\n"
        f"aws_access_key_id = {given['AccessKeyId']}\n"
        f"aws_secret_access_key = {given['SecretAccessKey']}\n"
        f"aws_session_token = {given['SessionToken']}\n"
    )
    yield given["SessionToken"]
    profile.write_text(before)
    iam.delete_role_policy(RoleName=name, PolicyName=name)
    iam.delete_role(RoleName=name)


def test_expired_session_is_named(aws: LocalAws, session: str) -> None:
    expired = aws.directory / "expired"
    good = aws.play("playbooks/preflight.yml")
    expired.write_text(f"{session}\n")
    play = aws.play("site.yml")
    expired.unlink()

    assert good.returncode == 0, good.output
    assert play.returncode != 0
    assert "The credentials of this session have expired" in " ".join(play.output.split())
    assert play.recap["changed"] == 0


@pytest.mark.parametrize(
    ("variables", "said"),
    first_quick(
        ({"aws_vpc_cidr": "10.0.0.0/8"}, "must be /16 to /28"),
        ({"aws_vpc_cidr": "10.0.0.0/20"}, "only with a /16"),
        ({"aws_ec2_instance_type": "t3.micro"}, "has 1024 MiB of memory"),
        ({"mlflow_workers": 8}, "at least 5120 MiB is required"),
        ({"aws_ec2_instance_type": "t9.huge"}, "'t9.huge' is not a valid type"),
        ({"aws_ec2_subnet": "private-a"}, "is not a public subnet"),
        ({"aws_ec2_image_owner": "111111111111"}, "has no image 'debian-13-amd64-*'"),
    ),
)
def test_invalid_setting_is_refused_with_its_reason(
    aws: LocalAws, variables: dict[str, Any], said: str
) -> None:
    play = aws.play("playbooks/preflight.yml", "-e", json.dumps(variables))

    assert play.returncode != 0
    assert said in " ".join(play.output.split()), play.output


@pytest.mark.slow
def test_overlapping_subnets_are_named(aws: LocalAws) -> None:
    subnets = [
        {"name": "a", "cidr": "10.0.0.0/20", "zone": "us-east-1a", "public": True},
        {"name": "b", "cidr": "10.0.8.0/24", "zone": "us-east-1b", "public": False},
    ]
    variables = {"aws_vpc_cidr": "10.0.0.0/16", "aws_vpc_subnets": subnets}
    play = aws.play("playbooks/preflight.yml", "-e", json.dumps(variables))

    assert play.returncode != 0
    assert "10.0.0.0/20 of 'a' and 10.0.8.0/24 of 'b' overlap" in play.output


@pytest.mark.slow
def test_account_at_its_quota_of_networks_is_refused(aws: LocalAws) -> None:
    ec2 = aws.client("ec2")
    vpcs = [
        ec2.create_vpc(CidrBlock="172.31.0.0/16")["Vpc"]["VpcId"]
        for _ in range(5 - len(ec2.describe_vpcs()["Vpcs"]))
    ]
    play = aws.play("playbooks/preflight.yml")
    for vpc in vpcs:
        ec2.delete_vpc(VpcId=vpc)

    assert play.returncode != 0
    assert "The account has 5 VPCs" in play.output


def test_account_at_its_quota_of_addresses_is_refused(aws: LocalAws) -> None:
    ec2 = aws.client("ec2")
    room = 5 - len(ec2.describe_addresses()["Addresses"])
    addresses = [ec2.allocate_address(Domain="vpc")["AllocationId"] for _ in range(room)]
    play = aws.play("playbooks/preflight.yml")
    for address in addresses:
        ec2.release_address(AllocationId=address)

    assert play.returncode != 0
    assert "The account has 5 Elastic IP addresses" in play.output


@pytest.mark.parametrize(
    ("name", "leads_to"),
    first_quick(("nowhere.invalid", "no address"), ("localhost", "127.0.0.1")),
)
def test_name_that_does_not_lead_to_the_host_is_refused(
    aws: LocalAws, name: str, leads_to: str
) -> None:
    ec2 = aws.client("ec2")
    tags = [{"Key": "Deployment", "Value": "prov"}]
    address = ec2.allocate_address(
        Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}]
    )
    play = aws.play(
        "playbooks/preflight.yml",
        "-e",
        json.dumps({"mlflow_tls_mode": "acme", "mlflow_names": [name]}),
    )
    ec2.release_address(AllocationId=address["AllocationId"])

    assert play.returncode != 0
    assert f"'{name}' leads to {leads_to}, and the host has {address['PublicIp']}" in play.output
