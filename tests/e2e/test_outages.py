"""What happens to those who log while parts of the deployment are away."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import requests

from .conftest import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Deployment

OUTAGE_SECONDS = 60
BACK_SECONDS = 60
pytestmark = pytest.mark.slow


@dataclass
class Logger:
    """A client that logs one value after the other, and notes what was acknowledged."""

    deployment: Deployment
    run_id: str
    acknowledged: list[int] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        """Log until stopped; what is refused is tried again, as MLflow's client does."""
        step = 0
        while not self.stopped.is_set():
            body = {"run_id": self.run_id, "key": "m", "value": step, "timestamp": 1, "step": step}
            try:
                answer = self.deployment.ask("POST", "2.0/mlflow/runs/log-metric", json=body)
            except requests.RequestException:
                time.sleep(0.5)
                continue
            if answer.ok:
                self.acknowledged.append(step)
                step += 1
            else:
                time.sleep(0.5)

    def kept(self) -> list[int]:
        """Return the steps that the server has."""
        found: list[int] = []
        token: dict[str, str] = {}
        while True:
            query: dict[str, Any] = {"run_id": self.run_id, "metric_key": "m", "max_results": 1000}
            answer = self.deployment.ask(
                "GET", "2.0/mlflow/metrics/get-history", params=query | token
            )
            answer.raise_for_status()
            page = answer.json()
            found += [int(metric["step"]) for metric in page.get("metrics", [])]
            if not page.get("next_page_token"):
                return sorted(found)
            token = {"page_token": page["next_page_token"]}


def answers(deployment: Deployment) -> bool:
    """Say whether the tracking server answers a real query."""
    try:
        body = {"max_results": 1}
        return deployment.ask("POST", "2.0/mlflow/experiments/search", json=body).ok
    except requests.RequestException:
        return False


def wait_for(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until it holds; return the seconds that it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds
        time.sleep(0.5)
    return time.monotonic() - started


def test_database_away_for_a_minute_costs_no_acknowledged_write(deployment: Deployment) -> None:
    rds = deployment.aws.client("rds")
    name = f"{NAME}-mlflow"

    def has(status: str) -> bool:
        [found] = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
        return bool(found["DBInstanceStatus"] == status)

    experiment = {"name": f"outage {uuid.uuid4()}"}
    made = deployment.ask("POST", "2.0/mlflow/experiments/create", json=experiment).json()
    run = deployment.ask("POST", "2.0/mlflow/runs/create", json=made).json()["run"]
    logger = Logger(deployment, run["info"]["run_id"])
    thread = threading.Thread(target=logger.work)
    thread.start()
    try:
        wait_for(lambda: len(logger.acknowledged) > 20, 60)
        rds.stop_db_instance(DBInstanceIdentifier=name)
        wait_for(lambda: has("stopped"), 60)
        before = len(logger.acknowledged)
        time.sleep(OUTAGE_SECONDS)
        assert len(logger.acknowledged) == before
        rds.start_db_instance(DBInstanceIdentifier=name)
        wait_for(lambda: has("available"), 60)
        wait_for(lambda: len(logger.acknowledged) > before + 20, BACK_SECONDS)
    finally:
        logger.stopped.set()
        thread.join()

    assert set(logger.acknowledged) <= set(logger.kept())
    assert deployment.ssh("systemctl is-active mlflow").stdout.strip() == "active"


def test_host_that_was_stopped_comes_back_with_all_its_services(deployment: Deployment) -> None:
    ec2 = deployment.aws.client("ec2")
    instance = [deployment.outputs["ec2_instance_id"]]

    ec2.stop_instances(InstanceIds=instance)
    ec2.get_waiter("instance_stopped").wait(InstanceIds=instance, WaiterConfig={"Delay": 1})
    assert not answers(deployment)
    ec2.start_instances(InstanceIds=instance)

    wait_for(lambda: answers(deployment), 2 * BACK_SECONDS)
    active = deployment.ssh("systemctl is-active mlflow caddy mlflow-watch.timer").stdout.split()
    assert active == ["active"] * 3
    assert deployment.scrape().status_code == requests.codes.ok
