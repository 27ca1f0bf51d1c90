"""What a month costs is reckoned from the present variables and a file, without asking AWS."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.conftest import LocalAws

if TYPE_CHECKING:
    from pathlib import Path

# What stays while a deployment is paused.
KEPT = {
    "volume of the host",
    "address of the host",
    "storage of the database",
    "artifacts",
    "passwords",
}


@pytest.fixture
def nowhere(tmp_path: Path) -> LocalAws:
    """An AWS that does not run."""
    return LocalAws(tmp_path, 5573)


def dollars(output: str) -> dict[str, float]:
    """Return the amounts of the table by what they are for."""
    # What and of are columns, apart by two spaces or more.
    rows = re.findall(r"^ +- (\S.*?)  .* ([0-9.]+)$", output, re.MULTILINE)
    return {what: float(amount) for what, amount in rows}


def test_month_is_the_sum_of_its_lines(nowhere: LocalAws) -> None:
    play = nowhere.play("playbooks/cost.yml")

    assert play.returncode == 0, play.output
    cost = dollars(play.output)
    month, paused = cost.pop("a month"), cost.pop("a month paused")
    assert cost["host"] == pytest.approx(730 * 0.0416, abs=0.01)
    assert cost["database"] == pytest.approx(730 * 0.016, abs=0.01)
    assert month == pytest.approx(sum(cost.values()), abs=0.05)
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


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("aws_region=eu-west-1", "prices/eu-west-1.yml: write one like us-east-1.yml"),
        ("aws_ec2_instance_type=x9.huge", "has no price of x9.huge: add it there"),
    ],
)
def test_price_that_nobody_knows(nowhere: LocalAws, setting: str, said: str) -> None:
    play = nowhere.play("playbooks/cost.yml", "-e", setting)

    assert play.returncode != 0
    assert said in " ".join(play.output.split()), play.output
