"""Action playbook: a playbook within a playbook, by real runs of small ones."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.conftest import BIN, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a playbook that runs another one, which writes its variables to a file."""

    def run_outer(
        *options: str, content: str = "{{ deployment }}"
    ) -> subprocess.CompletedProcess[str]:
        copy = {"content": content, "dest": str(tmp_path / "written"), "mode": "0600"}
        inner = {"playbook": str(tmp_path / "inner.yml"), "variables": {"deployment": "copy"}}
        for name, task in (
            ("inner", {"ansible.builtin.copy": copy}),
            ("outer", {"mlflow_ec2.aws.playbook": inner}),
        ):
            play: dict[str, Any] = {
                "hosts": "localhost",
                "connection": "local",
                "gather_facts": False,
                "vars": {"ansible_python_interpreter": sys.executable},
                "tasks": [task],
            }
            (tmp_path / f"{name}.yml").write_text(yaml.safe_dump([play]))
        return subprocess.run(
            [
                *(BIN / "ansible-playbook", "-i", "localhost,"),
                *options,
                *("-e", "deployment=demo", "-e", "other=kept", tmp_path / "outer.yml"),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    return run_outer


def test_variables_of_the_task_overrule_those_of_the_run(run: Run, tmp_path: Path) -> None:
    done = run(content="{{ deployment }} {{ other }}")

    assert done.returncode == 0, done.stdout
    assert (tmp_path / "written").read_text() == "copy kept"
    assert "changed=1" in done.stdout


def test_check_mode_is_passed_on(run: Run, tmp_path: Path) -> None:
    done = run("--check")

    assert done.returncode == 0, done.stdout
    assert not (tmp_path / "written").exists()


def test_failure_of_the_playbook_is_that_of_the_task(run: Run) -> None:
    done = run(content="{{ unknown }}")

    assert done.returncode != 0
    assert "has failed. Its last lines" in done.stdout
    assert "unknown" in done.stdout
