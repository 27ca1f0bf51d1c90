"""An account that may make no roles, and has ready-made ones (AWS Academy)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalAws

pytestmark = pytest.mark.slow

# What such an account may not call; it may look.
REFUSED = [
    f"iam:{verb}*"
    for verb in "Add Attach Create Delete Detach Put Remove Tag Untag Update".split()  # noqa: SIM905 -- readable
]
TRUST = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": ["ec2.amazonaws.com", "lambda.amazonaws.com"]},
        "Action": "sts:AssumeRole",
    },
}
LAB = ("-e", "@inventory/lab.yml", "-e", "deployment=lab")


@pytest.fixture(scope="module")
def lab(aws: LocalAws) -> Iterator[LocalAws]:
    """Local AWS with a lab's roles, where no others may be made."""
    iam = aws.client("iam")
    iam.create_role(RoleName="LabRole", AssumeRolePolicyDocument=json.dumps(TRUST))
    for policy in ("AmazonS3FullAccess", "service-role/AWSLambdaVPCAccessExecutionRole"):
        iam.attach_role_policy(RoleName="LabRole", PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
    iam.create_instance_profile(InstanceProfileName="LabInstanceProfile")
    iam.add_role_to_instance_profile(InstanceProfileName="LabInstanceProfile", RoleName="LabRole")
    # A student has wide rights, a role of the lab's is passed on, and none are made.
    wide = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    aws.allow("lab", json.dumps({"Version": "2012-10-17", "Statement": [wide]}))
    with aws.denied(*REFUSED):
        yield aws


def test_whole_site_stands_on_the_ready_made_roles(lab: LocalAws) -> None:
    created = lab.play("site.yml", *LAB)
    again = lab.play("site.yml", *LAB)

    assert created.returncode == 0, created.output
    assert again.returncode == 0, again.output
    assert again.recap["changed"] == 0, again.output


def test_without_the_lab_s_settings_aws_s_refusal_is_told(lab: LocalAws) -> None:
    play = lab.play("playbooks/iam.yml", *LAB, "-e", "aws_iam_mode=create")

    assert play.returncode != 0
    assert "iam:CreateRole" in play.output


def test_host_and_function_have_the_ready_made_roles(lab: LocalAws) -> None:
    [reservation] = lab.client("ec2").describe_instances()["Reservations"]
    [instance] = reservation["Instances"]
    [function] = lab.client("lambda").list_functions()["Functions"]

    assert instance["IamInstanceProfile"]["Arn"].endswith("/LabInstanceProfile")
    assert function["Role"] == "arn:aws:iam::123456789012:role/LabRole"


def test_the_end_leaves_the_roles(lab: LocalAws) -> None:
    play = lab.play("playbooks/destroy.yml", *LAB, "-e", "confirm=lab", "-e", "purge=true")

    assert play.returncode == 0, play.output
    assert "Nothing is left of lab" in play.output
    assert [role["RoleName"] for role in lab.client("iam").list_roles()["Roles"]] == ["LabRole"]
    assert lab.resources("lab") == []
