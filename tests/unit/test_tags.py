"""Tags that are not the deployment's own, as an organisation adds them, stay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/**/*.yml")])


def tasks(node: Any) -> Iterator[dict[str, Any]]:
    """Yield each task in the document of a file, those in blocks included."""
    if isinstance(node, list):
        for item in node:
            yield from tasks(item)
    elif isinstance(node, dict):
        yield node
        for part in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks", "handlers"):
            yield from tasks(node.get(part))


TAGGING = [
    pytest.param(module, arguments, id=f"{file.parent.parent.name}/{file.name}/{task['name']}")
    for file in FILES
    for task in tasks(yaml.safe_load(file.read_text()))
    for module, arguments in task.items()
    if isinstance(arguments, dict)
    and isinstance(task.get("name"), str)
    and "tags" in arguments
    # These look for tags, belong to Ansible itself, or tag nothing that exists.
    and not module.endswith("_info")
    and module not in {"vars", "ansible.builtin.set_fact", "mlflow_ec2.aws.rds_snapshot_copy"}
]


@pytest.mark.parametrize(("module", "arguments"), TAGGING)
def test_module_that_tags_keeps_other_tags(module: str, arguments: dict[str, Any]) -> None:
    assert arguments.get("purge_tags") is False, module


def test_modules_that_tag_are_found() -> None:
    services = {module.rpartition(".")[2].partition("_")[0] for module, _ in map(_values, TAGGING)}
    assert services >= {"ec2", "rds", "s3", "iam", "lambda", "cloudwatchlogs", "secretsmanager"}


def _values(parameter: Any) -> tuple[str, dict[str, Any]]:
    module, arguments = parameter.values
    return module, arguments
