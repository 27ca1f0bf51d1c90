from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils import basic
from ansible_collections.amazon.aws.plugins.module_utils.modules import aws_argument_spec

ROOT = Path(__file__).parents[3]
COLLECTION = ROOT / "collections/ansible_collections/mlflow_ec2/aws"
MODULES = sorted(path.stem for path in (COLLECTION / "plugins/modules").glob("*.py"))
COMPARED = ("type", "elements", "required", "default", "choices", "aliases")


def full_name(module: str) -> str:
    """Return how a playbook names a module."""
    return f"mlflow_ec2.aws.{module}"


class Specified(Exception):  # noqa: N818  (a way out, not an error)
    """Carries the argument specification out of a module."""

    def __init__(self, argument_spec: dict[str, Any]) -> None:
        super().__init__()
        self.argument_spec = argument_spec


@pytest.fixture(scope="module")
def documentation(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what ansible-doc shows of the modules."""
    configuration = tmp_path_factory.mktemp("doc") / "ansible.cfg"
    configuration.write_text("")
    program = Path(sys.executable).with_name("ansible-doc")
    done = subprocess.run(
        [program, "-t", "module", "--json", *map(full_name, MODULES)],
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(configuration),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


def comparable(options: dict[str, Any], suboptions: str) -> dict[str, Any]:
    """Return what documentation and specification both say of options."""
    found: dict[str, Any] = {}
    for name, option in options.items():
        facts = {key: option[key] for key in COMPARED if option.get(key) not in (None, [], False)}
        facts.setdefault("type", "str")
        if option.get("default") is False:
            facts["default"] = False
        found[name] = facts
        if option.get(suboptions):
            found[name]["options"] = comparable(option[suboptions], suboptions)
    return found


def specification(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the module's own options as its argument specification has them."""

    def stop(_self: Any, argument_spec: dict[str, Any], **_settings: Any) -> None:
        raise Specified(argument_spec)

    module = importlib.import_module(f"ansible_collections.mlflow_ec2.aws.plugins.modules.{name}")
    if not hasattr(module, "main"):
        action = importlib.import_module(
            f"ansible_collections.mlflow_ec2.aws.plugins.action.{name}"
        )
        own: dict[str, Any] = action.ActionModule.argument_spec
        return own
    monkeypatch.setattr(basic.AnsibleModule, "__init__", stop)
    with pytest.raises(Specified) as stopped:
        module.main()
    spec = stopped.value.argument_spec
    shared = aws_argument_spec() if "region" in spec else {}
    return {key: option for key, option in spec.items() if key not in shared}


@pytest.mark.parametrize("name", MODULES)
def test_options_are_documented_as_they_are(
    documentation: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    spec = specification(name, monkeypatch)
    options = documentation[full_name(name)]["doc"]["options"]
    own = {key: option for key, option in options.items() if key in spec}
    assert comparable(own, "suboptions") == comparable(spec, "options")
    assert set(options) - set(spec) <= set(aws_argument_spec())


@pytest.mark.parametrize("name", MODULES)
def test_examples_use_options_that_exist(documentation: dict[str, Any], name: str) -> None:
    options = documentation[full_name(name)]["doc"]["options"]
    tasks = [
        task
        for task in yaml.safe_load(documentation[full_name(name)]["examples"])
        if full_name(name) in task
    ]
    assert tasks
    for task in tasks:
        assert set(task[full_name(name)]) <= set(options)
        required = {key for key, option in options.items() if option.get("required")}
        assert required <= set(task[full_name(name)])


@pytest.mark.parametrize("name", MODULES)
def test_every_returned_value_is_described(documentation: dict[str, Any], name: str) -> None:
    returned = documentation[full_name(name)]["return"]
    assert all(value["description"] and value["returned"] for value in returned.values())
