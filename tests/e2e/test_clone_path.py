"""A whole deployment from a clone in a path with special characters."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT, LocalAws

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Made by the tools that work in a clone, and none of its own.
MADE = (".git", ".venv*", ".cache", ".deploy", ".local-aws", ".ansible", ".*_cache", "__pycache__")
NAME = "oddpath"
pytestmark = pytest.mark.slow


def run(aws: LocalAws, directory: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=directory,
        env=aws.environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS and a deployment, both made by `make up` in the clone that is its parent."""
    clone = tmp_path_factory.mktemp("clone") / """my clone, o'neil "q" 100% %h #1 & é/-mlflow"""
    shutil.copytree(ROOT, clone, symlinks=True, ignore=shutil.ignore_patterns(*MADE))
    own = LocalAws(clone / ".local-aws", 5579)
    try:
        run(own, clone, "make", "up", f"DEPLOYMENT={NAME}")
        yield own
    finally:
        run(own, clone, "make", "down")


def test_ssh_command_in_an_odd_path_logs_in(aws: LocalAws, tmp_path: Path) -> None:
    outputs = aws.directory.parent / ".deploy" / NAME / "outputs.json"
    command = json.loads(outputs.read_text())["ssh_command"]
    assert "active" in run(aws, tmp_path, "sh", "-c", f"{command} systemctl is-active mlflow")


@pytest.mark.parametrize("strategy", ["mlflow_ec2.aws.warm", "linear"])
def test_deployment_from_an_odd_path_is_unchanged_by_a_second_run(
    aws: LocalAws, strategy: str
) -> None:
    clone = aws.directory.parent
    said = run(
        aws,
        clone,
        *("env", f"ANSIBLE_STRATEGY={strategy}", str(clone / ".venv/bin/ansible-playbook")),
        *("playbooks/mlflow.yml", "-e", f"deployment={NAME}"),
    )
    assert "changed=0" in said
    assert "changed=1" not in said
