"""One deployment, made through the front door."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.conftest import BIN, ROOT, LocalAws

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "e2e"
CONFIG = ROOT / "models/configs/random_forest.json"


@dataclass(frozen=True)
class Deployment:
    """What `make up` left for its users."""

    aws: LocalAws
    printed: str

    @property
    def directory(self) -> Path:
        """Keys, certificates and outputs."""
        return ROOT / ".deploy" / NAME

    @property
    def outputs(self) -> dict[str, Any]:
        """What stands in outputs.json."""
        outputs: dict[str, Any] = json.loads((self.directory / "outputs.json").read_text())
        return outputs

    @property
    def client_environment(self) -> dict[str, str]:
        """What a client exports from mlflow.env."""
        return self.environment_of("mlflow.env")

    def environment_of(self, file: str) -> dict[str, str]:
        """What a client exports from one of the files for clients."""
        lines = (self.directory / file).read_text().splitlines()
        pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
        return {name: shlex.split(value)[0] for name, value in pairs}

    def ask(
        self, method: str, path: str, user: str = "mlflow.env", **options: Any
    ) -> requests.Response:
        """Ask the tracking server as the user of a file; `path` is what follows /api/."""
        environment = self.environment_of(user)
        return requests.request(
            method,
            f"{environment['MLFLOW_TRACKING_URI']}/api/{path}",
            auth=(environment["MLFLOW_TRACKING_USERNAME"], environment["MLFLOW_TRACKING_PASSWORD"]),
            verify=environment["MLFLOW_TRACKING_SERVER_CERT_PATH"],
            timeout=options.pop("timeout", 30),
            **options,
        )

    @property
    def metrics_url(self) -> str:
        """Where Prometheus scrapes."""
        return f"{self.outputs['api_gateway_endpoint']}/metrics"

    @property
    def token(self) -> str:
        """The token that the metrics endpoint wants."""
        return Path(self.outputs["metrics_token_file"]).read_text().strip()

    def scrape(self, token: str | None = None, **headers: str) -> requests.Response:
        """Ask for the metrics; without a token given, with the right one."""
        bearer = self.token if token is None else token
        own = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        ca = str(self.aws.directory / "ca.pem")
        return requests.get(self.metrics_url, headers=own | headers, verify=ca, timeout=30)

    def ssh(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the host, as the printed ssh_command does."""
        return subprocess.run(
            [*shlex.split(self.outputs["ssh_command"]), command],
            text=True,
            capture_output=True,
            check=False,
        )

    def experiment(self, config: Path) -> subprocess.CompletedProcess[str]:
        """Log one experiment, as a data scientist does."""
        return subprocess.run(
            [BIN / "python", ROOT / "models/train.py", config],
            env={"PATH": self.aws.environment["PATH"], **self.client_environment},
            text=True,
            capture_output=True,
            check=False,
        )


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    """Make up, beside what a user may have up; make down in the end, whatever happened."""
    aws = LocalAws(ROOT / ".cache/e2e", 5572, {"deployment": NAME})
    variables = ROOT / "tests/e2e/deployment.yml"
    made = subprocess.run(
        ["make", "up", f"DEPLOYMENT={NAME}", f"ANSIBLE_ARGS=-e @{variables}"],
        cwd=ROOT,
        env=aws.environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    try:
        assert made.returncode == 0, made.stdout
        yield Deployment(aws, made.stdout)
    finally:
        down = subprocess.run(["make", "down"], cwd=ROOT, env=aws.environment, check=False)
    assert down.returncode == 0


@pytest.fixture(scope="session")
def run(deployment: Deployment) -> dict[str, Any]:
    """A run that the experiment script logged, as MLflow's REST API tells it."""
    logged = deployment.experiment(CONFIG)
    assert logged.returncode == 0, logged.stdout + logged.stderr
    found = re.search(r"\b[0-9a-f]{32}\b", logged.stdout)
    assert found, logged.stdout
    answer = deployment.ask("GET", "2.0/mlflow/runs/get", params={"run_id": found.group()})
    assert answer.status_code == requests.codes.ok, answer.text
    told: dict[str, Any] = answer.json()["run"]
    return told
