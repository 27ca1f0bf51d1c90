"""Another MLflow, and a deployment without runs."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests import other_mlflow, sites
from tests.conftest import ROOT, LocalAws, deploy_policy
from tests.tracking_server import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "moved"
PLAYBOOKS = ["preflight", "vpc", "s3", "iam", "secrets", "rds", "ec2", "mlflow"]


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an MLflow of the oldest release: mlflow.db and mlruns."""
    folder = tmp_path_factory.mktemp("other")
    other_mlflow.fill(folder, VERSIONS[0])
    return folder


@pytest.fixture(scope="session")
def site() -> Iterator[sites.Site]:
    """A deployment without runs, function and endpoint."""
    shutil.rmtree(ROOT / ".deploy" / NAME, ignore_errors=True)
    aws = LocalAws(ROOT / ".cache/transfer", 5598, {"deployment": NAME})
    start = aws.command("start")
    assert start.returncode == 0, start.stdout + start.stderr
    try:
        aws.allow(NAME, deploy_policy(NAME))
        for name in PLAYBOOKS:
            play = aws.play(f"playbooks/{name}.yml")
            assert play.returncode == 0, play.output
        yield sites.Site(aws, NAME)
    finally:
        stop = aws.command("stop")
        subprocess.run(["rm", "-rf", ROOT / ".deploy" / NAME], check=True)
    assert stop.returncode == 0, stop.stdout + stop.stderr
