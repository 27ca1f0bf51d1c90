"""playbooks/README.md: the index of the playbooks."""

from __future__ import annotations

import re

import yaml

from tests.conftest import ROOT

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
