"""Role mlflow: the release with which a new deployment may start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: mlflow
        tasks_from: release
"""


def check(folder: Path, **variables: object) -> tuple[int, str]:
    """Run the check; return its exit status and what it printed."""
    playbook = folder / "release.yml"
    playbook.write_text(PLAYBOOK)
    done = subprocess.run(
        [
            Path(sys.executable).parent / "ansible-playbook",
            *("--inventory=localhost,", f"--extra-vars={json.dumps(variables)}", playbook),
        ],
        check=False,
        cwd=ROOT,
        text=True,
        capture_output=True,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["2.22.4", "3.9.0", "3.14.0", "3.17.1"])
def test_release_before_the_oldest_start_is_refused(tmp_path: Path, version: str) -> None:
    status, said = check(tmp_path, mlflow_version=version)

    assert status != 0
    assert f"mlflow_version: {version} is not a valid version for a new deployment" in said


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"mlflow_version": "3.18.0"},
        {"mlflow_version": "4.0.0"},
        {"mlflow_version": "3.14.0", "mlflow_allow_old": "true"},
    ],
)
def test_release_that_may_start_is_accepted(tmp_path: Path, variables: dict[str, str]) -> None:
    status, said = check(tmp_path, **variables)

    assert status == 0, said
