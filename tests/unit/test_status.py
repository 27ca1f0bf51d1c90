"""What `make status` says of Prometheus's targets."""

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

PLAYBOOK = f"""
- name: Show the part of Prometheus
  hosts: localhost
  gather_facts: false
  vars_files: [{ROOT}/roles/status/vars/main.yml]
  vars:
    __status_alerts: {{status: 200, json: []}}
  tasks:
    - name: Show it
      ansible.builtin.debug:
        msg: "said={{{{ __status_monitoring[0].well }}}} {{{{ __status_monitoring[0].text }}}}="
"""


@pytest.mark.parametrize(
    ("healths", "said"),
    [
        ({"server": "up", "endpoint": "up"}, "True all targets are up"),
        # Prometheus has just started.
        ({"server": "up", "endpoint": "unknown"}, "True not asked yet: endpoint"),
        ({"server": "down", "endpoint": "unknown"}, "False no answer from server"),
        ({"server": "down", "endpoint": "down"}, "False no answer from endpoint, server"),
    ],
)
def test_target_is_wrong_once_it_has_not_answered(
    tmp_path: Path, healths: dict[str, str], said: str
) -> None:
    targets = [{"labels": {"job": job}, "health": health} for job, health in healths.items()]
    answer = {"status": 200, "json": {"data": {"activeTargets": targets}}}
    (tmp_path / "playbook.yml").write_text(PLAYBOOK)
    done = subprocess.run(
        [
            *(BIN / "ansible-playbook", "--inventory=localhost,", "--connection=local"),
            *("-e", json.dumps({"__status_targets": answer})),
            *("-e", f"ansible_python_interpreter={sys.executable}", tmp_path / "playbook.yml"),
        ],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"said={said}=" in done.stdout, done.stdout + done.stderr
