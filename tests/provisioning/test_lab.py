"""An account that may make no roles, and has ready-made ones (AWS Academy)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import LocalAws, started
from tests.tracking_server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

LAB = ("-e", "@inventory/lab.yml", "-e", "deployment=lab", "-e", "monitoring_enabled=false")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """The account of a lab: ready-made roles, no others, and limits of AWS Academy's."""
    yield from started(
        LocalAws(
            tmp_path_factory.mktemp("lab"),
            free_port(),
            neighbours_of="lab",
            settings={
                "LOCAL_AWS_ACCOUNT": "lab",
                "LOCAL_AWS_LAMBDA_INTERFACE_SECONDS": "5",
            },
        )
    )


def test_site_with_ready_made_roles_is_created(lab: LocalAws) -> None:
    created = lab.play("site.yml", *LAB)
    again = lab.play("site.yml", *LAB)

    assert created.returncode == 0, created.output
    assert again.returncode == 0, again.output
    assert again.recap["changed"] == 0, again.output


def test_lab_without_its_settings_shows_the_refusal_of_aws(lab: LocalAws) -> None:
    play = lab.play("playbooks/iam.yml", *LAB, "-e", "aws_iam_mode=create")

    assert play.returncode != 0
    assert "iam:CreateRole" in play.output


def test_host_and_function_have_the_ready_made_roles(lab: LocalAws) -> None:
    [reservation] = lab.client("ec2").describe_instances()["Reservations"]
    [instance] = reservation["Instances"]
    function = lab.client("lambda").get_function_configuration(FunctionName="lab-mlflow-metrics")

    assert instance["IamInstanceProfile"]["Arn"].endswith("/LabInstanceProfile")
    assert function["Role"] == "arn:aws:iam::123456789012:role/LabRole"


def test_destroy_leaves_ready_made_roles(lab: LocalAws) -> None:
    play = lab.play("playbooks/destroy.yml", *LAB, "-e", "confirm=lab", "-e", "purge=true")

    assert play.returncode == 0, play.output
    assert "Nothing is left of lab" in play.output
    iam = lab.client("iam")
    roles = [iam.get_role(RoleName=name)["Role"] for name in ("LabRole", "voclabs")]
    assert all("Deployment" not in str(role.get("Tags")) for role in roles)
    assert lab.resources("lab") == []
