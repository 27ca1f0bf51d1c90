"""A host is configured once cloud-init has finished, and only if it has not failed."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.conftest import BIN, ROOT

if TYPE_CHECKING:
    from pathlib import Path

ROLE = ROOT / "roles/host"
SECONDS = 2
# What `cloud-init status --wait` does on each host; None where it is not installed.
HOSTS = {
    "written": "echo status: error; echo detail: The result was not read; exit 1",
    "erring": "echo status: error; echo detail: The result has an error; exit 1",
    "done": "echo status: done",
    "disabled": "echo status: disabled",
    "busy": "sleep 1; echo status: done",
    "recovered": "echo status: done; echo extended_status: degraded done; exit 2",
    "broken": "echo status: error; echo detail: Failed to run user-data; exit 1",
    "endless": "exec sleep 60",
    "bare": None,
}
# What cloud-init has written at its end, in cloud-init's own form.
RESULTS: dict[str, list[str]] = {"written": [], "erring": ["('scripts_user', Exit code 1)"]}
PLAYBOOK = [
    {
        "hosts": "all",
        "gather_facts": False,
        "vars_files": [f"{ROLE}/vars/main.yml"],
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        # Debian's own folders have no cloud-init here.
        "environment": {"PATH": "{{ folder }}/{{ inventory_hostname }}:/usr/bin:/bin"},
        "tasks": [
            {"ansible.builtin.import_tasks": f"{ROLE}/tasks/cloud_init.yml"},
            {"ansible.builtin.debug": {"msg": "configured {{ inventory_hostname }}"}},
        ],
    }
]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What Ansible says of hosts in each state, also under --check."""
    folder = tmp_path_factory.mktemp("cloud-init")
    for name, status in HOSTS.items():
        (folder / name).mkdir()
        if status is not None:
            program: Path = folder / name / "cloud-init"
            program.write_text(f'#!/bin/sh\n[ "$1 $2" = "status --wait" ] || exit 9\n{status}\n')
            program.chmod(0o755)
        if name in RESULTS:
            result = {"v1": {"datasource": "DataSourceEc2Local", "errors": RESULTS[name]}}
            (folder / name / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    playbook = folder / "site.yml"
    playbook.write_text(yaml.safe_dump(PLAYBOOK))
    command: list[str | Path] = [
        BIN / "ansible-playbook",
        "-c",
        "local",
        "-i",
        ",".join([*HOSTS, ""]),
        playbook,
    ]
    variables = ["-e", f"__host_cloud_init_seconds={SECONDS}", "-e", f"folder={folder}"]
    result_file = folder / "{{ inventory_hostname }}/result.json"
    variables += ["-e", json.dumps({"__host_cloud_init_result": str(result_file)})]
    return subprocess.run(
        [*command, *variables, "--check"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_ANY_ERRORS_FATAL": "false"},
        check=False,
        text=True,
        capture_output=True,
    ).stdout


def test_host_with_finished_cloud_init_is_configured(said: str) -> None:
    configured = {name for name in HOSTS if f"configured {name}" in said}

    assert configured == {"done", "disabled", "busy", "recovered", "bare", "written"}


def test_failed_cloud_init_is_reported_with_its_reason_and_the_cure(said: str) -> None:
    assert "cloud-init of host broken has failed: status: error detail: Failed to run user-" in said
    assert (
        "cloud-init of host erring has failed: status: error detail: The result has an error"
        in said
    )
    assert "/var/log/cloud-init-output.log" in said
    assert "terminate the instance" in said


def test_endless_cloud_init_is_reported_after_the_time_to_wait(said: str) -> None:
    assert f"cloud-init of host endless has not finished within {SECONDS} seconds" in said
