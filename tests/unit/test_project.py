"""The files around the code: workflows, hooks and templates name what exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
FORMS = sorted(set(ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")) - {*ROOT.glob("**/config.yml")})
HOOKS: list[dict[str, Any]] = [
    hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]
]
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_calls_only_make_targets_that_exist(workflow: Path) -> None:
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    scripts = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    targets = {found for script in scripts for found in re.findall(r"\bmake ([\w-]+)", script)}

    assert targets
    assert targets - TARGETS == set()


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_hook_calls_a_program_of_the_locks(hook: dict[str, Any]) -> None:
    program = Path(hook["entry"].split()[0])

    assert hook["language"] == "system"
    # Debian has shellcheck; the environment has the rest.
    if program != Path("shellcheck"):
        assert program.parent == Path(".venv/bin")
        assert (Path(sys.executable).parent / program.name).is_file()


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_issue_form_has_unique_fields_with_labels(form: Path) -> None:
    document = yaml.safe_load(form.read_text())
    fields = [field for field in document["body"] if field["type"] != "markdown"]

    assert document["name"]
    assert document["description"]
    assert all(field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("uses: actions/checkout@v7", "unpinned-uses"),
        ("run: echo ${{ github.event.issue.title }}", "template-injection"),
    ],
)
def test_zizmor_offline_names_a_dangerous_step(tmp_path: Path, text: str, finding: str) -> None:
    workflow = tmp_path / "bad.yml"
    workflow.write_text(
        "name: bad\non: push\npermissions: {}\njobs:\n  bad:\n    name: bad\n"
        f"    runs-on: ubuntu-24.04\n    steps:\n      - name: bad\n        {text}\n"
    )
    program = Path(sys.executable).with_name("zizmor")
    done = subprocess.run(
        [program, "--offline", "--no-progress", workflow],
        check=False,
        text=True,
        capture_output=True,
    )

    assert done.returncode != 0
    assert finding in done.stdout
