"""One deployment, made through the front door."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import BIN, ROOT, LocalAws

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "e2e"


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
        lines = (self.directory / "mlflow.env").read_text().splitlines()
        pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
        return {name: shlex.split(value)[0] for name, value in pairs}

    @property
    def metrics_url(self) -> str:
        """Where Prometheus scrapes."""
        return f"{self.outputs['api_gateway_endpoint']}/metrics"

    @property
    def token(self) -> str:
        """The token that the metrics endpoint wants."""
        return Path(self.outputs["metrics_token_file"]).read_text().strip()

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
