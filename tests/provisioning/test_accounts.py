"""In each kind of account the deployment works, or preflight says in one message what to set."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.conftest import LocalAws, Play, started
from tests.tracking_server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "kinds"
PREFLIGHT = ("playbooks/preflight.yml", "-e", f"deployment={NAME}")
FREE_PLAN_CURES = ("-e", "aws_ec2_instance_type=t3.small", "-e", "aws_rds_backup_days=1")


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """An account on the free plan, whose policy for log delivery is full."""
    yield from account(tmp_path_factory, "free_plan,full_log_policy")


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """An account of an organisation."""
    yield from account(tmp_path_factory, "organisation")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A lab's account, in an organisation."""
    yield from account(tmp_path_factory, "lab,organisation")


def account(factory: pytest.TempPathFactory, kinds: str) -> Iterator[LocalAws]:
    # A lab's student has more rights than the deploy policy.
    variables = {} if "lab" in kinds else {"deployment": NAME, "monitoring_enabled": False}
    settings = {"LOCAL_AWS_ACCOUNT": kinds, "LOCAL_AWS_LAMBDA_INTERFACE_SECONDS": "5"}
    yield from started(
        LocalAws(factory.mktemp("aws"), free_port(), variables, settings, neighbours_of=NAME)
    )


def one_message(play: Play) -> str:
    """Return the message with which a play ended before it created anything."""
    assert play.returncode != 0, play.output
    assert play.recap["changed"] == 0
    errors = re.findall(r"^\[ERROR\]: Task failed: Action failed: (.*)$", play.output, re.MULTILINE)
    assert len(errors) == 1, play.output
    return str(errors[0])


def test_preflight_free_plan_names_all_variables_at_once(free: LocalAws) -> None:
    said = one_message(free.play(*PREFLIGHT, "-e", "aws_rds_instance_class=db.t4g.small"))

    assert "aws_ec2_instance_type: t3.medium" in said
    assert "aws_rds_backup_days: 7" in said
    assert "aws_rds_instance_class: db.t4g.small" in said
    assert "-e aws_ec2_instance_type=t3.small -e aws_rds_backup_days=1" in said
    assert "-e aws_rds_instance_class=db.t4g.micro" in said
    assert free.resources(NAME) == []


@pytest.mark.slow
def test_preflight_without_permission_to_read_the_plan_passes(free: LocalAws) -> None:
    # The check after that of the account ends it.
    with free.denied("freetier:*"):
        said = one_message(free.play(*PREFLIGHT, "-e", "aws_vpc_cidr=10.0.0.0/8"))

    assert "aws_vpc_cidr" in said


def test_preflight_region_that_the_organisation_denies_is_refused(lab: LocalAws) -> None:
    said = one_message(lab.play(*PREFLIGHT, "-e", "aws_region=us-west-2"))

    assert "aws_region: us-west-2 is not a valid region for this account" in said
    assert "a service control policy of its organisation denies it" in said
    assert lab.resources(NAME, "us-west-2") == []


def test_preflight_organisation_that_denies_only_changes_is_refused(free: LocalAws) -> None:
    with free.denied("ec2:Create*", "rds:Create*"):
        said = one_message(free.play(*PREFLIGHT, *FREE_PLAN_CURES))

    assert "aws_region: us-east-1 is not a valid region for this account" in said
    assert free.resources(NAME) == []


@pytest.mark.slow
def test_preflight_deployment_outside_the_policy_is_refused(free: LocalAws) -> None:
    said = one_message(free.play(*PREFLIGHT, *FREE_PLAN_CURES, "-e", "deployment=other"))

    assert "deployment: other is not a valid name here" in said
    assert "docs/iam" in said


def test_preflight_lab_names_its_inventory_and_variables(lab: LocalAws) -> None:
    said = one_message(lab.play(*PREFLIGHT, "-e", "aws_rds_monitoring_seconds=60"))

    assert "aws_iam_mode: create" in said
    assert "Add -e @inventory/lab.yml" in said
    for cure in ("aws_iam_mode=existing", "aws_rds_storage_type=gp2"):
        assert cure in said
    assert "aws_rds_monitoring_seconds=0" in said


@pytest.mark.slow
def test_preflight_missing_ready_made_role_is_named(lab: LocalAws) -> None:
    said = one_message(
        lab.play(*PREFLIGHT, "-e", "@inventory/lab.yml", "-e", "aws_iam_function_role=NoRole")
    )

    assert "aws_iam_function_role: NoRole" in said
    assert "aws_iam_instance_profile:" not in said


@pytest.mark.slow
def test_site_on_the_free_plan_with_the_cures_is_created(free: LocalAws) -> None:
    created = free.play("site.yml", *FREE_PLAN_CURES)
    again = free.play("site.yml", *FREE_PLAN_CURES)
    ended = free.play("playbooks/destroy.yml", "-e", f"confirm={NAME}", "-e", "purge=true")

    assert created.returncode == 0, created.output
    assert again.returncode == 0, again.output
    assert again.recap["changed"] == 0, again.output
    assert ended.returncode == 0, ended.output
    assert free.resources(NAME) == []


@pytest.mark.slow
def test_site_in_an_organisation_keeps_its_tags(member: LocalAws) -> None:
    created = member.play("site.yml")
    # The organisation tags what was made last.
    time.sleep(10)
    again = member.play("site.yml")
    drift = member.play("playbooks/drift.yml")
    tags = {
        tag["Key"]
        for tag in member.client("ec2").describe_tags(
            Filters=[{"Name": "resource-type", "Values": ["vpc", "instance", "security-group"]}]
        )["Tags"]
    }
    ended = member.play("playbooks/destroy.yml", "-e", f"confirm={NAME}", "-e", "purge=true")

    assert created.returncode == 0, created.output
    assert again.recap["changed"] == 0, again.output
    assert drift.returncode == 0, drift.output
    assert {"CostCenter", "Deployment"} <= tags
    assert ended.returncode == 0, ended.output
    assert member.resources(NAME) == []
