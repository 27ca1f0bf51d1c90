"""What a month costs is reckoned from the present variables and a file, without asking AWS."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.conftest import ROOT, LocalAws

if TYPE_CHECKING:
    from pathlib import Path

# What stays while a deployment is paused.
KEPT = {
    "volume of the host",
    "address of the host",
    "storage of the database",
    "backups and snapshots",
    "artifacts",
    "old versions of artifacts",
    "passwords",
}
AT_MOST = {
    "refused requests",
    "their access log",
    "refused by the function",
    "their log of the function",
}


@pytest.fixture
def nowhere(tmp_path: Path) -> LocalAws:
    """An AWS that does not run."""
    return LocalAws(tmp_path, 5573, {"monitoring_enabled": False})


def dollars(output: str) -> dict[str, float]:
    """Return the amounts of the table by what they are for."""
    # What and of are columns, apart by two spaces or more; the last is the date of the price.
    rows = re.findall(r"^ +- (\S.*?)  .* ([0-9]+\.[0-9]{2})(?:  20[0-9-]+)?$", output, re.MULTILINE)
    return {what: float(amount) for what, amount in rows}


def test_copies_in_another_region_have_lines_of_their_own(nowhere: LocalAws) -> None:
    play = nowhere.play("playbooks/cost.yml", "-e", "recovery_copy_region=us-west-2")

    assert play.returncode == 0, play.output
    cost = dollars(play.output)
    assert cost["copies of artifacts"] == pytest.approx(12 * 0.023, abs=0.01)
    assert cost["copies of snapshots"] == pytest.approx(10 * 0.095, abs=0.01)
    assert cost["copies of passwords"] == pytest.approx(4 * 0.4, abs=0.01)
    assert cost["traffic of copies"] == pytest.approx(5 * 0.02, abs=0.01)


def test_month_is_the_sum_of_its_lines(nowhere: LocalAws) -> None:
    play = nowhere.play("playbooks/cost.yml")

    assert play.returncode == 0, play.output
    cost = dollars(play.output)
    month, paused = cost.pop("a month"), cost.pop("a month paused")
    refused = cost.pop("refused requests at most")
    at_most = {what: cost.pop(what) for what in AT_MOST}
    assert cost["host"] == pytest.approx(730 * 0.0416, abs=0.01)
    assert cost["database"] == pytest.approx(730 * 0.016, abs=0.01)
    assert month == pytest.approx(sum(cost.values()), abs=0.05)
    assert refused == pytest.approx(sum(at_most.values()), abs=0.05)
    assert paused == pytest.approx(
        sum(amount for what, amount in cost.items() if what in KEPT), abs=0.05
    )


def test_variables_decide_on_the_price(nowhere: LocalAws) -> None:
    play = nowhere.play(
        "playbooks/cost.yml",
        *("-e", "aws_ec2_instance_type=t3.large", "-e", '{"aws_rds_multi_az": true}'),
    )

    assert play.returncode == 0, play.output
    assert dollars(play.output)["host"] == pytest.approx(730 * 0.0832, abs=0.01)
    assert dollars(play.output)["database"] == pytest.approx(2 * 730 * 0.016, abs=0.01)


def test_month_has_logs_credits_versions_and_snapshots(nowhere: LocalAws) -> None:
    file = yaml.safe_load((ROOT / "playbooks/vars/cost.yml").read_text())
    usage = file["cost_usage"] | {
        "backup_gib": 120,
        "deleted_gib": 100,
        "host_surplus_vcpu_hours": 100,
        "metrics_requests_per_minute": 1000,
    }
    variables = {"cost_usage": usage, "aws_s3_noncurrent_days": 60, "aws_rds_storage_type": "gp2"}
    play = nowhere.play("playbooks/cost.yml", "-e", json.dumps(variables))

    assert play.returncode == 0, play.output
    cost = dollars(play.output)
    requests = 1000 * 43800
    assert cost["backups and snapshots"] == pytest.approx(100 * 0.095, abs=0.01)
    assert cost["old versions of artifacts"] == pytest.approx(200 * 0.023, abs=0.01)
    assert cost["CPU credits of the host"] == pytest.approx(100 * 0.05, abs=0.01)
    assert cost["access log"] == pytest.approx(requests * 350 / 2**30 * 0.53, abs=0.01)
    assert cost["log of the function"] == pytest.approx(requests * 500 / 2**30 * 0.53, abs=0.01)
    assert re.search(r"storage of the database +gp2 ", play.output)


@pytest.mark.slow
def test_refused_requests_follow_the_throttle(nowhere: LocalAws) -> None:
    play = nowhere.play("playbooks/cost.yml", "-e", '{"aws_api_gateway_rate_limit": 5}')

    assert play.returncode == 0, play.output
    assert dollars(play.output)["refused requests"] == pytest.approx(5 * 2.628, abs=0.01)


@pytest.mark.slow
def test_type_that_is_not_burstable_has_no_credits(nowhere: LocalAws) -> None:
    play = nowhere.play("playbooks/cost.yml", "-e", "aws_ec2_instance_type=m7i.large")

    assert play.returncode == 0, play.output
    assert "CPU credits of the host" not in dollars(play.output)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("aws_region=eu-west-1", "prices/eu-west-1.yml does not exist. Write it like"),
        ("aws_ec2_instance_type=x9.huge", "has no price of x9.huge: add it there"),
    ],
)
def test_unknown_price_is_named(nowhere: LocalAws, setting: str, said: str) -> None:
    play = nowhere.play("playbooks/cost.yml", "-e", setting)

    assert play.returncode != 0
    assert said in " ".join(play.output.split()), play.output
