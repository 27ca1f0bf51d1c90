"""What every role promises: its defaults, its argument specs and the documentation agree."""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.amazon.aws.plugins.modules import cloudwatchlogs_log_group
from ansible_collections.mlflow_ec2.aws.plugins.action import apt_packages

from tests.mappings import lists, mappings

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.parent.parent for path in ROOT.glob("roles/*/tasks/main.yml"))
APT_MODULES = {"ansible.builtin.apt", "ansible.legacy.apt", "apt"}
# It calls apt's module.
PACKAGES = "mlflow_ec2.aws.apt_packages"
APT_LOCK_SECONDS = 600
# https://github.com/terraform-aws-modules/terraform-aws-rds/issues/364
# https://github.com/aws-samples/eks-workshop-v2/issues/1609
NO_ROLE_YET = [
    (
        "Missing necessary credentials. Please check http://docs.aws.amazon.com/AmazonRDS/latest/"
        "UserGuide/UsingWithRDS.IAM.ServiceLinkedRoles.html"
    ),
    (
        "Unable to create the resource. Verify that you have permission to create service linked "
        "role. Otherwise wait and try again later"
    ),
]
OTHER_REFUSALS = [
    "The parameter MasterUserPassword is not a valid password.",
    "User: x is not authorized to perform: iam:CreateServiceLinkedRole on resource: y",
]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_argument_specs_and_defaults_agree(role: Path) -> None:
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    documented = {
        name: option["default"]
        for spec in specs.values()
        for name, option in (spec.get("options") or {}).items()
        if "default" in option
    }
    defaults_file = role / "defaults/main.yml"
    defaults = (yaml.safe_load(defaults_file.read_text()) or {}) if defaults_file.exists() else {}

    # Computed defaults are described in the specs as prose.
    computed = {
        name for name, value in defaults.items() if isinstance(value, str) and "{{" in value
    }
    assert documented.keys() == defaults.keys()
    assert {name: documented[name] for name in documented.keys() - computed} == {
        name: defaults[name] for name in defaults.keys() - computed
    }


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_public_variables_begin_with_the_name_of_their_role(role: Path) -> None:
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    names = [name for spec in specs.values() for name in (spec.get("options") or {})]

    assert [name for name in names if not name.startswith(f"{role.name}_")] == []


def test_days_of_retention_are_those_of_the_module() -> None:
    # The module deletes the log group before it refuses a number.
    source = inspect.getsource(cloudwatchlogs_log_group)
    [permitted] = re.findall(r"permited_values = (\[[^]]*\])", source)
    offered = {
        (role.name, name): option["choices"]
        for role in ROLES
        for spec in yaml.safe_load((role / "meta/argument_specs.yml").read_text())[
            "argument_specs"
        ].values()
        for name, option in (spec.get("options") or {}).items()
        if name.endswith("_log_days")
    }

    assert len(offered) == 2
    assert offered == dict.fromkeys(offered, json.loads(permitted))


def test_choices_are_those_of_the_module() -> None:
    """Wherever a variable alone is a parameter, the module takes each value that is offered."""
    compared: dict[str, tuple[list[str], list[str] | None]] = {}
    for role in ROLES:
        specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
        offered = {
            name: option["choices"]
            for spec in specs.values()
            for name, option in (spec.get("options") or {}).items()
            if "choices" in option
        }
        for file in sorted(role.glob("tasks/*.yml")):
            for task in yaml.safe_load(file.read_text()):
                for module, arguments in task.items():
                    if not module.startswith("amazon.aws.") or not isinstance(arguments, dict):
                        continue
                    for parameter, value in arguments.items():
                        # Given always, or under a condition.
                        variable = re.fullmatch(
                            r"\{\{ (?:\w+ \| ternary\(omit, )?(\w+)\)? \}\}", str(value)
                        )
                        if variable and variable[1] in offered:
                            key = f"{module}.{parameter}={variable[1]}"
                            compared[key] = offered[variable[1]], _choices(module, parameter)

    # Days of retention are compared above: the module checks them itself.
    known = {key: (ours, theirs) for key, (ours, theirs) in compared.items() if theirs is not None}
    assert set(compared) - set(known) <= {
        "amazon.aws.cloudwatchlogs_log_group.retention=aws_api_gateway_log_days",
        "amazon.aws.cloudwatchlogs_log_group.retention=aws_lambda_log_days",
        "amazon.aws.cloudwatchlogs_log_group.retention=aws_logs_days",
        "amazon.aws.rds_instance.monitoring_interval=aws_rds_monitoring_seconds",
    }
    assert {
        "amazon.aws.lambda.architecture=aws_lambda_architecture",
        "amazon.aws.rds_instance.storage_type=aws_rds_storage_type",
    } <= set(known)
    refused = {key: set(ours) - set(theirs) for key, (ours, theirs) in known.items()}
    assert not any(refused.values()), refused


def _choices(module: str, parameter: str) -> list[str] | None:
    """Return the values that a module of amazon.aws documents for a parameter."""
    name = module.removeprefix("amazon.aws.")
    source = importlib.import_module(f"ansible_collections.amazon.aws.plugins.modules.{name}")
    options = yaml.safe_load(source.DOCUMENTATION)["options"]
    choices: list[str] | None = options[parameter].get("choices")
    return choices


def test_documentation_of_variables_is_up_to_date() -> None:
    subprocess.run([sys.executable, ROOT / "scripts/document_variables.py", "--check"], check=True)


def all_tasks() -> dict[str, dict[str, Any]]:
    """Return all mappings of roles and playbooks, by file and name, and among them the tasks."""
    files = [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/handlers/*.yml")]
    files += [*ROOT.glob("playbooks/*.yml"), *ROOT.glob("playbooks/tasks/*.yml")]
    return {
        f"{file.relative_to(ROOT)}: {task.get('name')}": task
        for file in files
        for task in mappings(yaml.safe_load(file.read_text()))
    }


def apt_tasks() -> dict[str, dict[str, object]]:
    """Return what the tasks that call apt's module give it, by file and name."""
    return {
        where: task[module]
        for where, task in all_tasks().items()
        for module in APT_MODULES & task.keys()
    }


def downloads() -> dict[str, dict[str, Any]]:
    """Return the tasks that fetch packages: by a module, or by a command of pip or uv."""
    command = re.compile(r"\bpip\W+(?:install|download|sync)\b")
    return {
        where: task
        for where, task in all_tasks().items()
        if (APT_MODULES | {PACKAGES}) & task.keys()
        or command.search(str(task.get("ansible.builtin.command")))
    }


def test_downloads_are_repeated_when_they_fail() -> None:
    assert len(downloads()) > len(apt_tasks()) + 3
    assert [
        where
        for where, task in downloads().items()
        if task.get("until") != f"{task.get('register')} is not failed"
        or int(task.get("retries", 0)) < 2
    ] == []


def test_apt_tasks_wait_as_long_as_unattended_upgrades_take() -> None:
    impatient = {
        where
        for where, options in apt_tasks().items()
        if not isinstance(options, dict)
        or int(str(options.get("lock_timeout", 0))) < APT_LOCK_SECONDS
    }

    assert apt_tasks()
    assert impatient == set()
    assert apt_packages.LOCK_SECONDS >= APT_LOCK_SECONDS


def test_packages_are_installed_by_the_module_that_waits_for_the_lock() -> None:
    # Neither `package` nor a command waits for apt's lock as long as its module can.
    others = re.compile(
        r"\b(?:ansible\.builtin\.)?(?:package|dpkg_selections|apt_repository|deb822_repository):"
        r"|\bapt(?:-get)? (?:install|update|upgrade)|\bdpkg (?:-i|--install)"
    )
    files = [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/handlers/*.yml")]
    files += [*ROOT.glob("playbooks/**/*.yml")]

    assert [file for file in files if others.search(file.read_text())] == []


@pytest.mark.parametrize("task", ["Create subnet group", "Create database instance"])
def test_first_call_of_rds_is_repeated_while_rds_makes_its_role(task: str) -> None:
    role = ROOT / "roles/aws_rds"
    words = yaml.safe_load((role / "vars/main.yml").read_text())["__aws_rds_no_linked_role"]
    [until] = [
        found["until"]
        for file in ("create_groups.yml", "create.yml")
        for found in yaml.safe_load((role / "tasks" / file).read_text())
        if found["name"].startswith(task)
    ]

    assert "__aws_rds_no_linked_role" in until
    assert [message for message in NO_ROLE_YET if not re.search(words, message)] == []
    assert [message for message in OTHER_REFUSALS if re.search(words, message)] == []


def test_start_of_the_server_is_waited_for() -> None:
    # Ansible's module returns at once for a unit that is starting.
    starts = 0
    for path in [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/*.yml")]:
        for tasks in lists(yaml.safe_load(path.read_text())):
            for task, following in itertools.pairwise([*tasks, {}]):
                unit = task.get("ansible.builtin.systemd_service") or {}
                if (unit.get("name"), unit.get("state")) == ("mlflow.service", "started"):
                    starts += 1
                    assert "started" in json.dumps(following), f"{path}: {task['name']}"
    assert starts >= 3
