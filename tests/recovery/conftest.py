"""A deployment with data, and a deployment that is restored from it."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests import sites
from tests.conftest import ROOT, LocalAws, deploy_policy

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME, COPY, DRILL = "recov", "recovb", "recovc"
PLAYBOOKS = ["preflight", "vpc", "s3", "iam", "secrets", "rds", "ec2", "mlflow"]


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAws]:
    """A local AWS whose deployer is allowed what the policies of all deployments allow."""
    for name in (NAME, COPY, DRILL):
        shutil.rmtree(ROOT / ".deploy" / name, ignore_errors=True)
    found = LocalAws(ROOT / ".cache/recovery", 5596, {"deployment": NAME})
    start = found.command("start")
    assert start.returncode == 0, start.stdout + start.stderr
    try:
        for name in (NAME, COPY, DRILL):
            found.allow(name, deploy_policy(name))
        yield found
    finally:
        stop = found.command("stop")
        for name in (NAME, COPY, DRILL):
            subprocess.run(["rm", "-rf", ROOT / ".deploy" / name], check=True)
    assert stop.returncode == 0, stop.stdout + stop.stderr


@pytest.fixture(scope="session")
def site(aws: LocalAws) -> sites.Site:
    """The deployment with the data of a team; without function and endpoint."""
    made = sites.Site(aws, NAME)
    for name in PLAYBOOKS:
        play = aws.play(f"playbooks/{name}.yml")
        assert play.returncode == 0, play.output
    sites.fill(made)
    return made


@pytest.fixture
def copy(aws: LocalAws) -> sites.Site:
    """The deployment that is restored, which has another address each time."""
    return sites.Site(
        LocalAws(aws.directory, aws.port, {"deployment": COPY, "restore_source": NAME}), COPY
    )
