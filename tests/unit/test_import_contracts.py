"""The contracts of import-linter in pyproject.toml find a forbidden import."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

SETTINGS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
    "importlinter"
]
PLUGINS = "ansible_collections.mlflow_ec2.aws.plugins"


def ours(name: str) -> bool:
    """Return whether a module is in one of the packages that have contracts."""
    return any(f"{name}.".startswith(f"{root}.") for root in SETTINGS["root_packages"])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a tree with our contracts, and an empty module for each that they name."""
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    named = {
        name
        for contract in SETTINGS["contracts"]
        for key in ("source_modules", "forbidden_modules", "modules")
        for name in contract.get(key, [])
    }
    for name in {*named, *SETTINGS["root_packages"]}:
        if ours(name):
            folder = tmp_path / name.replace(".", "/")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "module.py").write_text("")
    # It is installed, and a package of that kind comes before a folder without this file.
    (tmp_path / "mlflow_ec2_client/__init__.py").write_text("")
    return tmp_path


def check(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        check=False,
        text=True,
        capture_output=True,
    )


def test_tree_without_imports_keeps_the_contracts(tree: Path) -> None:
    done = check(tree)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("package", "imported"),
    [
        ("local_aws", "tests.module"),
        ("scripts", "pytest"),
        (f"{PLUGINS}.modules", "local_aws.module"),
        ("lambda", "aws_transcript.module"),
        ("football", "moto"),
        ("local_aws", f"{PLUGINS}.module_utils.module"),
        ("local_aws", "ansible.module_utils.basic"),
        ("aws_transcript", "scripts.module"),
        ("lambda", "boto3"),
        ("models", "ansible"),
        ("mlflow_ec2_client", "mlflow_host.module"),
        (f"{PLUGINS}.module_utils", "mlflow"),
        (f"{PLUGINS}.modules", f"{PLUGINS}.action.module"),
        ("tests.unit", "tests.e2e.module"),
    ],
)
def test_forbidden_import_breaks_a_contract(tree: Path, package: str, imported: str) -> None:
    folder = tree / package.replace(".", "/")
    folder.mkdir(parents=True, exist_ok=True)
    target = tree / f"{imported.replace('.', '/')}.py"
    if ours(imported):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("")
    (folder / "planted.py").write_text(f"import {imported}\n")
    done = check(tree)

    assert done.returncode == 1
    assert "BROKEN" in done.stdout
