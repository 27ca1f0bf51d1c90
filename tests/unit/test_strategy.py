"""Playbooks run with Mitogen and without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import BIN, ROOT

if TYPE_CHECKING:
    from pathlib import Path

PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Run a module
      ansible.builtin.ping:
"""


@pytest.mark.parametrize("mitogen", ["installed", "missing"])
def test_strategy_without_mitogen_is_linear(tmp_path: Path, mitogen: str) -> None:
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(PLAYBOOK)
    environment = dict(os.environ)
    if mitogen == "missing":
        package = tmp_path / "path/ansible_mitogen/__init__.py"
        package.parent.mkdir(parents=True)
        package.write_text("raise ImportError('not installed')\n")
        environment["PYTHONPATH"] = str(tmp_path / "path")
    done = subprocess.run(
        [
            *(BIN / "ansible-playbook", "--inventory=localhost,", "--connection=local"),
            f"--extra-vars=ansible_python_interpreter={sys.executable}",
            playbook,
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok=1 " in done.stdout


def test_strategy_with_a_long_temporary_directory_runs(tmp_path: Path) -> None:
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(PLAYBOOK)
    # Longer than the path of a Unix socket can be.
    temporary = tmp_path / ("t" * 120)
    temporary.mkdir()
    done = subprocess.run(
        [BIN / "ansible-playbook", "--inventory", ROOT / "inventory/local", playbook],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("strategy", ["warm", "linear"])
def test_strategy_with_an_interpreter_in_an_odd_path_runs(tmp_path: Path, strategy: str) -> None:
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(PLAYBOOK)
    interpreter = tmp_path / """my clone, o'neil "q" 100% #1 & é\\""" / "python"
    interpreter.parent.mkdir()
    interpreter.symlink_to(sys.executable)
    variables = {"ansible_python_interpreter": str(interpreter)}
    done = subprocess.run(
        [
            *(BIN / "ansible-playbook", "--inventory=localhost,", "--connection=local"),
            *("--extra-vars", json.dumps(variables), playbook),
        ],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_STRATEGY": strategy},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
