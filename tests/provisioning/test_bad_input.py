"""What is wrong is said once, with its cure, before anything is created."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import LocalAws


def test_local_aws_that_does_not_run(tmp_path: Path, aws: LocalAws) -> None:
    play = replace(aws, directory=tmp_path, port=5573).play("site.yml")

    assert play.returncode != 0
    assert "make up" in play.output
    assert "-i inventory/aws" in play.output


def test_deployment_that_cannot_name_a_bucket(aws: LocalAws) -> None:
    play = aws.play("site.yml", "-e", "deployment=My_Deployment")

    assert play.returncode != 0
    assert "lower-case letters" in play.output


def test_range_that_is_no_range(aws: LocalAws) -> None:
    play = aws.play("site.yml", "-e", '{"allowed_cidrs": ["my-office"]}')

    assert play.returncode != 0
    assert "203.0.113.7/32" in play.output


def test_zone_that_the_region_lacks(aws: LocalAws) -> None:
    subnet = '{"name": "public-a", "cidr": "10.86.1.0/24", "zone": "mars-1a", "public": true}'
    play = aws.play("site.yml", "-e", f'{{"aws_vpc_subnets": [{subnet}]}}')

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


def test_version_that_the_region_lacks(aws: LocalAws) -> None:
    play = aws.play("site.yml", "-e", "aws_rds_engine_version=99")

    assert play.returncode != 0
    assert "no PostgreSQL 99" in play.output
    assert aws.resources("prov") == []


def test_region_that_nobody_knows(aws: LocalAws) -> None:
    play = aws.play("site.yml", "-e", "aws_region=mars-1")

    assert play.returncode != 0
    assert "Region 'mars-1' does not answer" in play.output
    assert aws.resources("prov") == []
