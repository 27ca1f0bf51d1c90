"""Ten thousand experiments: all of them arrive, and nothing that serves them suffers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import requests

from tests.e2e.series import many
from tests.e2e.test_monitoring import SCRAPE_SECONDS, Monitoring
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Deployment

pytestmark = pytest.mark.slow

EXPERIMENTS, METRICS = 10_000, 4
UNITS = ("mlflow", "prometheus", "prometheus-alertmanager", "prometheus-postgres-exporter")
PATIENCE_SECONDS = 8 * SCRAPE_SECONDS
# Otherwise the series stay in its memory until their block is written, two hours later.
FORGET = (
    "sudo systemctl stop prometheus && sudo find /var/lib/prometheus -path '*/wal/*' -delete"
    " && sudo find /var/lib/prometheus -path '*/chunks_head/*' -delete"
    "; sudo systemctl start prometheus"
)


@pytest.fixture(scope="module")
def monitoring(deployment: Deployment) -> Iterator[Monitoring]:
    """The monitoring, while the database has the experiments."""
    found = Monitoring(deployment)
    with many(deployment, experiments=EXPERIMENTS, metrics=METRICS):
        yield found
    forgotten = deployment.ssh(FORGET)
    assert forgotten.returncode == 0, forgotten.stderr


def restarts(deployment: Deployment) -> list[int]:
    """Return how often systemd has started each unit again by itself."""
    shown = deployment.ssh(f"systemctl show -p NRestarts --value {' '.join(UNITS)}").stdout
    return [int(number) for number in shown.split()]


def memory(deployment: Deployment, unit: str) -> tuple[int, int]:
    """Return the bytes that a unit takes, and those that it may take."""
    command = f"systemctl show -p MemoryCurrent -p MemoryMax {unit}"
    shown = dict(line.split("=") for line in deployment.ssh(command).stdout.split())
    return int(shown["MemoryCurrent"]), int(shown["MemoryMax"])


def test_every_series_is_scraped_within_bounded_memory(monitoring: Monitoring) -> None:
    deployment = monitoring.deployment
    before = restarts(deployment)

    answer = deployment.scrape()
    assert answer.status_code == requests.codes.ok, answer.text
    served = re.findall(r"^mlflow_many_\d+\{", answer.text, re.MULTILINE)
    assert len(served) == EXPERIMENTS * METRICS
    assert 'mlflowexporter_dropped_series{reason="limit"} 0' in answer.text

    def scraped() -> bool:
        found = monitoring.query('count({__name__=~"mlflow_many_.+"})')
        return [int(series["value"][1]) for series in found] == [EXPERIMENTS * METRICS]

    assert eventually(scraped, PATIENCE_SECONDS)
    for unit in UNITS:
        taken, most = memory(deployment, unit)
        assert taken < most * 0.9, unit
    assert restarts(deployment) == before
    assert len(before) == len(UNITS)


def test_server_lists_the_experiments(monitoring: Monitoring) -> None:
    deployment = monitoring.deployment
    environment = deployment.environment_of("mlflow.env")
    names: set[str] = set()
    token: str | None = ""
    while token is not None:
        answer = requests.post(
            f"{environment['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search",
            json={"max_results": 1000, "filter": "name LIKE 'many %'", "page_token": token},
            auth=(environment["MLFLOW_TRACKING_USERNAME"], environment["MLFLOW_TRACKING_PASSWORD"]),
            verify=deployment.outputs["ca_certificate"],
            timeout=30,
        )
        assert answer.status_code == requests.codes.ok, answer.text
        page = answer.json()
        names.update(experiment["name"] for experiment in page["experiments"])
        token = page.get("next_page_token")

    assert len(names) == EXPERIMENTS


def test_nothing_fires(monitoring: Monitoring) -> None:
    assert monitoring.firing() == set()
