"""playbooks/README.md: the index of the playbooks."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import yaml

from tests.conftest import BIN, ROOT

if TYPE_CHECKING:
    from pathlib import Path

INDEX = (ROOT / "playbooks/README.md").read_text()
STAGES, OPERATIONS = (re.findall(r"`(\w+)\.yml`", part) for part in INDEX.split("## Operations"))


def test_index_lists_the_stages_in_the_order_of_site() -> None:
    imported = [
        play["ansible.builtin.import_playbook"].removeprefix("playbooks/").removesuffix(".yml")
        for play in yaml.safe_load((ROOT / "site.yml").read_text())
    ]
    rows = re.findall(r"(?m)^\| `(\w+)\.yml`", INDEX.split("## Operations")[0])

    assert rows == imported


def test_index_lists_each_playbook() -> None:
    listed = {*STAGES, *OPERATIONS} - {"site"}

    assert listed == {path.stem for path in (ROOT / "playbooks").glob("*.yml")}


def imports(playbook: Path) -> set[str]:
    """Return the playbooks that one imports, and those that these import."""
    found: set[str] = set()
    for play in yaml.safe_load(playbook.read_text()):
        if name := play.get("ansible.builtin.import_playbook"):
            path = playbook.parent / name
            found |= {path.stem} | imports(path)
    return found


def test_playbooks_that_change_a_deployment_take_its_lock() -> None:
    playbooks = [ROOT / "site.yml", *(ROOT / "playbooks").glob("*.yml")]
    without = {path.stem for path in playbooks if "lock" not in imports(path)}
    # They read, or write files of this machine only.
    readers = {"backfill", "cost", "drift", "outputs", "preflight", "status", "verify"}

    assert without == readers | {"configuration", "lock", "unlock"}


def test_environment_of_calls_is_evaluated_once(tmp_path: Path) -> None:
    playbook = tmp_path / "playbook.yml"
    configuration = ROOT / "playbooks/configuration.yml"
    # The second value would show in the second play if it evaluated the variable again.
    playbook.write_text(f"""
- ansible.builtin.import_playbook: {configuration}
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.set_fact: {{aws_region: second}}
- ansible.builtin.import_playbook: {configuration}
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: "{{{{ aws_region }}}} {{{{ aws_environment.AWS_REGION }}}}"
""")

    done = subprocess.run(
        [BIN / "ansible-playbook", playbook, "-e", "deployment=once"],
        cwd=ROOT,
        env=os.environ | {"AWS_REGION": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "msg: second us-east-1" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("Check names and types of all variables") == 1
