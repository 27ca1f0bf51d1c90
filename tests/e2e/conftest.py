"""One deployment, made through the front door."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.conftest import BIN, ROOT, LocalAws

from .shell import run_shell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.neighbours import Neighbours

NAME = "local"
CLONE = ROOT / ".cache/e2e"
PORT = 5572
# As inventory.yml has it.
CIDR = "10.99.0.0/16"
# A new database is available later than the host, as on AWS, where it takes five minutes or more.
SETTINGS = {"LOCAL_AWS_LAMBDA_INTERFACE_SECONDS": "60", "LOCAL_AWS_RDS_SECONDS": "120"}
CONFIG = ROOT / "models/configs/random_forest.json"


@dataclass(frozen=True)
class Deployment:
    """What `make up` left for its users."""

    aws: LocalAws
    printed: str
    neighbours: Neighbours

    @property
    def directory(self) -> Path:
        """Keys, certificates and outputs."""
        return self.clone / ".deploy" / NAME

    @property
    def clone(self) -> Path:
        """Where the user has this repository."""
        return self.aws.clone

    @property
    def outputs(self) -> dict[str, Any]:
        """The content of outputs.json."""
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
        """The token that the metrics endpoint requires."""
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
        return self.use(f".venv/bin/python models/train.py {shlex.quote(str(config))}")

    def use(self, command: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a command as a user does who exports mlflow.env and nothing else."""
        exports = f"set -a; . .deploy/{NAME}/mlflow.env; set +a"
        return run_shell(f"{exports}\n{command}", self.clone, seconds)


def clone(directory: Path) -> None:
    """Copy what Git has or would add, as the directory of a user.

    It shares the environment of the tests, which takes minutes to make, and has an inventory that
    keeps clear of a deployment that the developer has up.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout
    present = b"\0".join(
        name for name in files.split(b"\0") if os.path.lexists(ROOT / os.fsdecode(name))
    )
    pack = ["tar", "--create", "--null", "--no-recursion", "--files-from=-"]
    packed = subprocess.run(pack, cwd=ROOT, input=present, capture_output=True, check=True).stdout
    subprocess.run(["tar", "--extract"], cwd=directory, input=packed, check=True)
    (directory / ".venv").symlink_to(BIN.parent)
    inventory = directory / "inventory/local/group_vars/all/e2e.yml"
    shutil.copy(ROOT / "tests/e2e/inventory.yml", inventory)


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    """Make up, beside what a developer may have up; make down in the end, whatever happened."""
    variables = {"deployment": NAME, "aws_vpc_cidr": CIDR}
    aws = LocalAws(CLONE / ".local-aws", PORT, variables, SETTINGS, clone=CLONE)
    if CLONE.exists():
        run_shell("make down", CLONE, exported={"LOCAL_AWS_PORT": str(PORT)})
    clone(CLONE)
    exported = {"LOCAL_AWS_PORT": str(PORT), **aws.settings}
    start = aws.command("start")
    try:
        assert start.returncode == 0, start.stdout + start.stderr
        neighbours = aws.create_neighbours()
        made = run_shell("make up", CLONE, 1200, exported)
        assert made.returncode == 0, made.stdout
        yield Deployment(aws, made.stdout, neighbours)
    finally:
        down = run_shell("make down", CLONE, exported=exported)
    assert down.returncode == 0, down.stdout


def log_run(deployment: Deployment) -> dict[str, Any]:
    """Log a run by the experiment script; return it as MLflow's REST API does."""
    logged = deployment.experiment(CONFIG)
    assert logged.returncode == 0, logged.stdout + logged.stderr
    found = re.search(r"\b[0-9a-f]{32}\b", logged.stdout)
    assert found, logged.stdout
    answer = deployment.ask("GET", "2.0/mlflow/runs/get", params={"run_id": found.group()})
    assert answer.status_code == requests.codes.ok, answer.text
    run: dict[str, Any] = answer.json()["run"]
    return run


@pytest.fixture(scope="session")
def run(deployment: Deployment) -> dict[str, Any]:
    """A run that the experiment script logged."""
    return log_run(deployment)
