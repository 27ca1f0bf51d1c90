"""The summary of a run under --check, by real runs of small playbooks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ansible_collections.mlflow_ec2.aws.plugins.action.settings_check import mappings

from tests.conftest import BIN, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DIFFERENCE = "mlflow_ec2.aws.difference"
SECRET = "correct horse battery staple"


@dataclass(frozen=True)
class Planned:
    """What was planned, and all that was printed."""

    plan: dict[str, Any]
    output: str
    returncode: int

    @property
    def actions(self) -> dict[str, str]:
        """The actions by resource."""
        return {item["resource"]: item["action"] for item in self.plan["planned"]}

    def differences(self, resource: str) -> list[str]:
        """How a resource would differ."""
        [found] = [item for item in self.plan["planned"] if item["resource"] == resource]
        differences: list[str] = found["differences"]
        return differences


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Planned]:
    """Run tasks under --check."""

    def run(*tasks: dict[str, Any], check: bool = True) -> Planned:
        playbook = tmp_path / "playbook.yml"
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": sys.executable},
        }
        playbook.write_text(yaml.safe_dump([play | {"tasks": list(tasks)}]))
        file = tmp_path / "plan.json"
        done = subprocess.run(
            [
                *(BIN / "ansible-playbook", "-i", "localhost,", playbook),
                *(["--check", "--diff"] if check else []),
            ],
            cwd=ROOT,
            env=os.environ | {"ANSIBLE_PLAN_FILE": str(file)},
            capture_output=True,
            text=True,
            check=False,
        )
        content = json.loads(file.read_text()) if file.exists() else {}
        return Planned(content, done.stdout + done.stderr, done.returncode)

    return run


def copy(path: Path, content: str, **options: Any) -> dict[str, Any]:
    return {
        "name": f"Write {path.name}",
        "ansible.builtin.copy": {"dest": str(path), "content": content, "mode": "0644"},
        **options,
    }


def test_plan_distinguishes_missing_changed_and_unexpected(
    plan: Callable[..., Planned], tmp_path: Path
) -> None:
    for name in ("old", "same", "surplus"):
        (tmp_path / name).write_text(f"{name}\n")
        (tmp_path / name).chmod(0o644)

    found = plan(
        copy(tmp_path / "new", "new\n"),
        copy(tmp_path / "old", "wanted\n"),
        copy(tmp_path / "same", "same\n"),
        {
            "name": "Remove surplus",
            "ansible.builtin.file": {"path": str(tmp_path / "surplus"), "state": "absent"},
        },
        {
            "name": "Remove nothing",
            "ansible.builtin.file": {"path": str(tmp_path / "nothing"), "state": "absent"},
        },
        {"name": "Look", "ansible.builtin.stat": {"path": "/"}},
    )

    assert found.actions == {
        "Write new": "create",
        "Write old": "change",
        "Remove surplus": "delete",
    }
    assert found.differences("Write old")[-2:] == ["- old", "+ wanted"]
    assert "1 to create, 1 to change, 1 to delete, 1 unchanged" in found.output
    assert not (tmp_path / "new").exists()


def test_difference_has_only_the_changed_values(plan: Callable[..., Planned]) -> None:
    found = plan(
        {
            "name": "Plan bucket",
            DIFFERENCE: {
                "before": {"versioning": False, "tags": {"a": "1", "b": "2"}, "size": 3},
                "after": {"versioning": True, "tags": {"a": "1"}, "size": 3},
            },
        },
        {
            "name": "Plan function",
            DIFFERENCE: {"before": {}, "after": {"memory": 128}},
        },
        {"name": "Plan role", DIFFERENCE: {"before": {"a": 1}, "after": {"a": 1}}},
    )

    assert found.actions == {"bucket": "change", "function": "create"}
    assert set(found.differences("bucket")) == {"versioning: false -> true", "tags.b: 2 -> null"}
    assert found.plan["left"] == 1


def test_secret_is_not_in_the_plan(plan: Callable[..., Planned], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("old\n")
    (tmp_path / "same").write_text("same\n")
    (tmp_path / "same").chmod(0o644)

    found = plan(copy(tmp_path / "same", "same\n"), copy(tmp_path / "secret", SECRET, no_log=True))

    assert found.actions == {"Write secret": "change"}
    assert SECRET not in found.output + json.dumps(found.plan)


def test_run_that_fails_says_that_the_plan_is_not_complete(
    plan: Callable[..., Planned], tmp_path: Path
) -> None:
    found = plan(copy(tmp_path / "new", "new\n"), {"ansible.builtin.fail": {"msg": "no"}})

    assert found.returncode != 0
    assert found.plan["complete"] is False
    assert "not complete" in found.output


def test_run_without_check_mode_prints_no_plan(
    plan: Callable[..., Planned], tmp_path: Path
) -> None:
    found = plan(copy(tmp_path / "new", "new\n"), check=False)

    assert (tmp_path / "new").read_text() == "new\n"
    assert "PLAN" not in found.output
    assert found.plan == {}


def test_tasks_with_action_difference_name_the_planned_resource() -> None:
    tasks = [
        task
        for file in ROOT.glob("roles/*/tasks/*.yml")
        for task in mappings(yaml.safe_load(file.read_text()))
        if DIFFERENCE in task
    ]

    assert len(tasks) >= 6
    assert [task["name"] for task in tasks if not task["name"].startswith("Plan ")] == []
