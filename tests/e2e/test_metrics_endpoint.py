"""GET /metrics through the API, as Prometheus and others ask."""

from __future__ import annotations

import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import requests
from prometheus_client.openmetrics import parser as openmetrics

from tests.e2e.conftest import CONFIG, NAME, log_run
from tests.e2e.series import many

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.conftest import Deployment

PROMETHEUS = "http://127.0.0.1:5574"


@pytest.fixture(scope="module")
def run(deployment: Deployment) -> dict[str, Any]:
    """The latest run of its experiment: the pages of the documentation have logged others."""
    return log_run(deployment)


def samples(text: str) -> dict[tuple[str, str], str]:
    """Return the values of MLflow's metrics by name and run."""
    lines = re.findall(r'^mlflow_(\w+)\{run_id="(\w+)"\} (\S+)$', text, re.MULTILINE)
    return {(name, run_id): value for name, run_id, value in lines}


def test_values_are_those_that_mlflow_has(deployment: Deployment, run: dict[str, Any]) -> None:
    answer = deployment.scrape()
    run_id = run["info"]["run_id"]
    logged = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}

    assert answer.status_code == requests.codes.ok
    served = samples(answer.text)
    assert {name: float(served[name, run_id]) for name in logged} == logged


@pytest.mark.parametrize("token", ["", "wrong", "x" * 8_000])
def test_request_without_a_valid_token_is_refused(deployment: Deployment, token: str) -> None:
    answer = deployment.scrape(token)

    assert answer.status_code == requests.codes.unauthorized
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "mlflow_" not in answer.text


def test_promtool_accepts_the_metrics(deployment: Deployment) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=deployment.scrape().text,
        text=True,
        capture_output=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr
    assert checked.stdout + checked.stderr == ""


def test_openmetrics_is_served_on_request(deployment: Deployment, run: dict[str, Any]) -> None:
    answer = deployment.scrape(Accept="application/openmetrics-text; version=1.0.0")
    parse: Any = openmetrics.text_string_to_metric_families  # it carries no types
    families = {family.name: family for family in parse(answer.text)}

    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    runs = {sample.labels["run_id"] for sample in families["mlflowexporter_run"].samples}
    assert run["info"]["run_id"] in runs
    assert families["mlflowexporter_index_usable"].samples[0].value == 1


@contextmanager
def prometheus(configuration: str, directory: Path) -> Iterator[None]:
    """Run Prometheus with a configuration, until it has scraped."""
    with subprocess.Popen(
        [
            "prometheus",
            f"--config.file={configuration}",
            f"--web.listen-address={PROMETHEUS.removeprefix('http://')}",
            f"--storage.tsdb.path={directory}",
            "--log.level=error",
        ]
    ) as process:
        try:
            yield
        finally:
            process.terminate()


def query(expression: str, seconds: int = 90) -> list[dict[str, Any]]:
    """Ask Prometheus until there is something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            answer = requests.get(
                f"{PROMETHEUS}/api/v1/query", params={"query": expression}, timeout=5
            )
        except requests.ConnectionError:
            time.sleep(0.5)
            continue
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        if found:
            return found
        time.sleep(0.5)
    pytest.fail(f"Prometheus has nothing for {expression} after {seconds} s")


def test_prometheus_scrapes_and_joins(
    deployment: Deployment, run: dict[str, Any], tmp_path: Path
) -> None:
    run_id = run["info"]["run_id"]
    text = (deployment.directory / "prometheus.yml").read_text()
    quick = tmp_path / "prometheus.yml"
    quick.write_text(f"global: {{scrape_interval: 2s, scrape_timeout: 2s}}\n{text}")

    with prometheus(str(quick), tmp_path / "data"):
        [joined] = query(
            f'mlflow_mse_local{{run_id="{run_id}"}} * on (run_id)'
            " group_left (experiment_name, model_type) mlflowexporter_run_info"
        )
        jobs = query("up == 1 and on () count(up == 1) == 3")

    logged = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
    assert {found["metric"]["job"] for found in jobs} == {
        f"mlflow-{NAME}",
        f"mlflow-{NAME}-host",
        f"mlflow-{NAME}-mlflow",
    }
    assert joined["metric"]["experiment_name"] == "futbol_random_forest"
    assert joined["metric"]["model_type"]
    assert float(joined["value"][1]) == logged["mse_local"]


def test_fifty_scrapes_at_once_while_runs_are_logged_are_all_right(deployment: Deployment) -> None:
    before = samples(deployment.scrape().text)
    with ThreadPoolExecutor(51) as pool:
        logging = pool.submit(deployment.experiment, CONFIG)
        answers = [
            answer
            for _ in range(2)
            for answer in pool.map(lambda _: deployment.scrape(), range(50))
        ]
        assert logging.result().returncode == 0
    after = samples(deployment.scrape().text)

    assert [answer.status_code for answer in answers] == [requests.codes.ok] * 100
    others = {key for key in before if key in after}
    assert others
    for answer in answers:
        served = samples(answer.text)
        assert answer.text.endswith("\n")
        assert {key: served[key] for key in others} == {key: after[key] for key in others}
        # What is there of a run is what was or will be its value.
        known = before | after
        assert {key: value for key, value in served.items() if known.get(key) != value} == {}


def patient_scrape(deployment: Deployment, **headers: str) -> requests.Response:
    """Ask again, as Prometheus does, while a busy machine takes longer than a statement may."""
    for _ in range(5):
        answer = deployment.scrape(**headers)
        if answer.status_code != requests.codes.unavailable:
            break
        time.sleep(2)
    return answer


@contextmanager
def without_prometheus(deployment: Deployment) -> Iterator[None]:
    """Stop the host's Prometheus: one scrape of so many series takes 170 MB for two hours."""
    stopped = deployment.ssh("sudo systemctl stop prometheus")
    assert stopped.returncode == 0, stopped.stderr
    try:
        yield
    finally:
        started = deployment.ssh("sudo systemctl start prometheus")
    assert started.returncode == 0, started.stderr


@pytest.fixture
def eighty_thousand_series(deployment: Deployment) -> Iterator[None]:
    """100 experiments, whose latest runs have 800 metrics each."""
    with without_prometheus(deployment), many(deployment, experiments=100, metrics=800):
        yield


@pytest.mark.usefixtures("eighty_thousand_series")
def test_eighty_thousand_series_arrive_complete(deployment: Deployment) -> None:
    answer = patient_scrape(deployment)
    plain = patient_scrape(deployment, **{"Accept-Encoding": "identity"})

    served = [key for key in samples(answer.text) if key[0].startswith("many_")]
    assert answer.status_code == requests.codes.ok, answer.text
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(served) == 80_000
    assert plain.status_code == requests.codes.not_acceptable
    assert "Accept-Encoding: gzip" in plain.text


def test_stopped_database_answers_503_within_two_seconds_and_recovers(
    deployment: Deployment,
) -> None:
    rds = deployment.aws.client("rds")
    name = f"{NAME}-mlflow"

    def wait_for(status: str) -> None:
        for _ in range(120):
            [found] = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
            if found["DBInstanceStatus"] == status:
                return
            time.sleep(0.5)
        pytest.fail(f"{name} is not {status} after a minute")

    rds.stop_db_instance(DBInstanceIdentifier=name)
    try:
        wait_for("stopped")
        started = time.monotonic()
        answer = deployment.scrape()
        seconds = time.monotonic() - started
    finally:
        rds.start_db_instance(DBInstanceIdentifier=name)
        wait_for("available")

    assert answer.status_code == requests.codes.service_unavailable
    assert answer.text.count("\n") == 1
    assert seconds <= 2
    assert deployment.scrape().status_code == requests.codes.ok


def test_rotation_replaces_the_token(deployment: Deployment) -> None:
    old = deployment.token

    play = deployment.aws.play("playbooks/rotate_metrics_token.yml")

    assert play.returncode == 0, play.output
    assert deployment.token != old
    assert deployment.token not in play.output
    assert deployment.scrape(old).status_code == requests.codes.unauthorized
    assert deployment.scrape().status_code == requests.codes.ok
