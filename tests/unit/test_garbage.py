"""Python searches for garbage less often, and never more often than before."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from ansible_collections.mlflow_ec2.aws.plugins.plugin_utils import garbage

from tests.conftest import BIN, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _own_threshold() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_garbage_is_searched_for_less_often() -> None:
    for _ in range(2):
        garbage.collect_less()
        assert gc.get_threshold()[0] == garbage.ALLOCATIONS


def test_threshold_that_is_higher_already_stays() -> None:
    gc.set_threshold(10 * garbage.ALLOCATIONS, 1, 1)
    garbage.collect_less()
    assert gc.get_threshold()[0] == 10 * garbage.ALLOCATIONS


def test_objects_that_exist_are_left_out() -> None:
    gc.unfreeze()
    garbage.keep_existing()
    kept = gc.get_freeze_count()
    assert kept > 0
    # What is made and dropped since then can be freed.
    made: list[list[int]] = [[] for _ in range(1000)]
    garbage.keep_existing()
    assert gc.get_freeze_count() <= kept < kept + len(made)


PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Set a fact
      ansible.builtin.set_fact:
        kept: here
        cacheable: true
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Read the fact
      ansible.builtin.debug:
        msg: "{{ ansible_facts.kept }} {{ lookup('ansible.builtin.config', 'CACHE_PLUGIN') }}"
"""


@pytest.mark.parametrize("plugin", ["mlflow_ec2.aws.warm", "memory"])
def test_facts_are_kept_between_plays(tmp_path: Path, plugin: str) -> None:
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(PLAYBOOK)
    variables = {name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"}
    chosen = {"ANSIBLE_CACHE_PLUGIN": "memory"} if plugin == "memory" else {}
    done = subprocess.run(
        [
            *(BIN / "ansible-playbook", "--inventory=localhost,", "--connection=local"),
            *(f"--extra-vars=ansible_python_interpreter={sys.executable}", playbook),
        ],
        cwd=ROOT,
        env=variables | chosen,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"here {plugin}" in done.stdout
    assert "WARNING" not in done.stdout + done.stderr
