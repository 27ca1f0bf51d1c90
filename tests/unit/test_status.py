"""What `make status` says of Prometheus's targets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

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


def shown(tmp_path: Path, playbook: str, variables: dict[str, Any]) -> str:
    """Return what a playbook prints."""
    (tmp_path / "playbook.yml").write_text(playbook)
    done = subprocess.run(
        [
            *(BIN / "ansible-playbook", "--inventory=localhost,", "--connection=local"),
            *("-e", json.dumps(variables)),
            *("-e", f"ansible_python_interpreter={sys.executable}", tmp_path / "playbook.yml"),
        ],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


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

    assert f"said={said}=" in shown(tmp_path, PLAYBOOK, {"__status_targets": answer})


@pytest.mark.parametrize(
    ("is_there", "said"),
    [(True, " in us-west-2, 3.0 hours ago"), (False, "False none in us-west-2")],
)
def test_newest_copy_of_a_recovery_point_is_shown_with_its_age(
    tmp_path: Path,
    is_there: bool,  # noqa: FBT001 - parametrised
    said: str,
) -> None:
    newest = f"{datetime.now(UTC) - timedelta(hours=3):%Y%m%dT%H%M%SZ}" if is_there else ""
    copy = {"region": "us-west-2", "newest": newest}
    playbook = PLAYBOOK.replace("__status_monitoring", "__status_copies")

    assert said in shown(tmp_path, playbook, {"status_copy": copy})
