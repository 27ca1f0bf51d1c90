"""A deployment with monitoring, whose alerts take a twelfth of their time."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.alerts.champion import EXPERIMENT, MODEL, log_champion
from tests.alerts.clock import SCRAPE_SECONDS, speed_up
from tests.alerts.watched import MAX_SERIES, Watched
from tests.conftest import ROOT, LocalAws, started

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "alerts"
PORT = 5599


@pytest.fixture(scope="session")
def watched() -> Iterator[Watched]:
    """The deployment, with a champion, whose optional alerts are on."""
    shutil.rmtree(ROOT / ".deploy" / NAME, ignore_errors=True)
    variables = {
        "deployment": NAME,
        "aws_lambda_metrics_max_series": MAX_SERIES,
        "monitoring_enabled": True,
        "monitoring_scrape_seconds": SCRAPE_SECONDS,
        "monitoring_webhook_url": Watched.WEBHOOK,
        "monitoring_champions": [
            {"model": MODEL, "experiment": EXPERIMENT, "metric": "loss", "better": "lower"}
        ],
        "monitoring_no_run_hours": 1,
        "monitoring_drill_days": 1,
        "monitoring_token_days": 1,
        # A scrape may take no longer than the time between two.
        "monitoring_slow_scrape_seconds": 1,
        "monitoring_slow_request_seconds": 1,
    }
    aws = LocalAws(ROOT / ".cache/alerts", PORT, variables)
    with contextlib.contextmanager(started)(aws):
        play = aws.play("site.yml")
        assert play.returncode == 0, play.output
        site = Watched(aws, NAME)
        log_champion(site)
        site.receive_notifications()
        site.note_drill()
        speed_up(site)
        yield site
    shutil.rmtree(ROOT / ".deploy" / NAME)
