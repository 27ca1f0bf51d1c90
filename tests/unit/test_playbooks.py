"""Every playbook says first where Ansible has to be called, if it is called elsewhere."""

from __future__ import annotations

import pytest
import yaml

from tests.conftest import ROOT

PLAYBOOKS = sorted(path.name for path in (ROOT / "playbooks").glob("*.yml"))


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_playbook_checks_the_configuration_first(name: str) -> None:
    while name != "configuration.yml":
        first = yaml.safe_load((ROOT / "playbooks" / name).read_text())[0]
        assert "ansible.builtin.import_playbook" in first, name
        name = first["ansible.builtin.import_playbook"]
