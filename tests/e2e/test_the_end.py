"""The way back: the last file of this directory, by its name and so in the order of tests."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.conftest import ROOT

if TYPE_CHECKING:
    from tests.e2e.conftest import Deployment


def test_destroy_leaves_nothing(deployment: Deployment) -> None:
    play = deployment.aws.play("playbooks/destroy.yml", "-e", "confirm=e2e", "-e", "purge=true")

    assert play.returncode == 0, play.output
    assert deployment.aws.resources("e2e") == []
    assert not deployment.directory.exists()


def test_make_down_leaves_nothing(deployment: Deployment) -> None:
    down = subprocess.run(
        ["make", "down"],
        cwd=ROOT,
        env=deployment.aws.environment,
        text=True,
        capture_output=True,
        check=False,
    )

    assert down.returncode == 0, down.stderr
    assert "not running" in deployment.aws.command("status").stdout
    routes = subprocess.run(["ip", "route"], text=True, capture_output=True, check=True).stdout
    assert "10.85.0.0/16" not in routes
