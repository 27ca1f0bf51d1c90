"""Each alert fires within its time when its cause occurs, alone, and clears afterwards."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.alerts.causes import CAUSES
from tests.alerts.clock import RULES, SCRAPE_SECONDS
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.alerts.watched import Watched

pytestmark = pytest.mark.slow
# From the end of a rule's delay until Alertmanager has the alert: scrapes, evaluations, and what a
# busy machine adds.
SECONDS = 8 * SCRAPE_SECONDS
# Alertmanager ends an alert of which it has not heard for four minutes, as when Prometheus was
# started again.
FORGET_SECONDS = 300
# Prometheus goes by samples that are up to five minutes old.
LOOKBACK_SECONDS = {"MonitoringStorageFails": 300}
# A cause of one alert has another alert as its condition.
WITH = {"MonitoringNotificationsFail": {"MlflowRunFailed"}}


def delay_of(rules: str, alert: str) -> float:
    """Return the seconds that a rule waits, and those over which it looks back."""
    text = rules.split(f"- alert: {alert}\n", 1)[1].split("- alert:", 1)[0]
    return sum(int(seconds) for seconds in re.findall(r"(?:for: |\[)(\d+)s", text))


@pytest.fixture(scope="session")
def rules(watched: Watched) -> str:
    """The rules that the deployment has."""
    return watched.host(f"cat {RULES}")


def test_each_alert_has_a_cause(rules: str) -> None:
    assert re.findall(r"(?m)^ +- alert: (\w+)", rules) == list(CAUSES)


def test_nothing_fires_without_a_cause(watched: Watched) -> None:
    assert eventually(lambda: set(watched.targets().values()) == {"up"}, 60), watched.targets()
    assert eventually(lambda: watched.firing() == set(), 60), watched.firing()


@pytest.mark.parametrize("alert", CAUSES)
def test_alert_fires_alone_and_clears(watched: Watched, rules: str, alert: str) -> None:
    expected = {alert} | WITH.get(alert, set())
    assert eventually(lambda: watched.firing() == set(), FORGET_SECONDS), watched.firing()
    watched.host("truncate --size=0 /run/notifications")
    with CAUSES[alert](watched):
        seconds = delay_of(rules, alert) + LOOKBACK_SECONDS.get(alert, 0) + SECONDS
        fires = eventually(lambda: alert in watched.firing(), seconds)
        assert fires, watched.firing()
        # Others that follow from it would fire by then.
        time.sleep(2 * SCRAPE_SECONDS)
        assert watched.firing() == expected
        if alert != "MonitoringNotificationsFail":
            assert eventually(lambda: alert in watched.notified(), 30), watched.notified()
    assert eventually(lambda: watched.firing() == set(), FORGET_SECONDS), watched.firing()
