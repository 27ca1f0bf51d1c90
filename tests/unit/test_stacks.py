"""Both stacks of Ansible are in the locks and in the documentation, and differ in nothing else."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from scripts import stacks
from tests.conftest import ROOT

LOCKS = ("bootstrap", "control", "local_aws", "models", "test")
# Packages that are allowed to differ: Ansible, and libraries that dropped Python 3.11.
DIFFERENT = {"ansible", "ansible-core", "contourpy", "networkx", "numpy", "scipy"}
SERVERS = tuple(f"server/{path.stem}" for path in (ROOT / "requirements/server").glob("*.txt"))
OLD, NEWEST = stacks.STACKS
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize("lock", [*LOCKS, *SERVERS])
def test_locks_of_both_stacks_differ_in_ansible_and_what_python_forces(lock: str) -> None:
    old, newest = (stacks.pins(lock, stack.pythons[0]) for stack in stacks.STACKS)
    different = {name for name in old if old[name] != newest.get(name, old[name])}

    assert different <= DIFFERENT


@pytest.mark.parametrize("python", NEWEST.pythons)
def test_newest_stack_has_the_same_pins_for_each_of_its_pythons(python: str) -> None:
    expected = stacks.pins("control", NEWEST.pythons[0])

    assert stacks.pins("control", python) == expected


@pytest.mark.parametrize("python", [python for stack in stacks.STACKS for python in stack.pythons])
def test_locks_of_one_environment_agree(python: str) -> None:
    merged: dict[str, str] = {}
    for lock in LOCKS:
        for name, pinned in stacks.pins(lock, python).items():
            assert merged.setdefault(name, pinned) == pinned, f"{lock}: {name}"


def test_stacks_differ_in_ansible() -> None:
    old, newest = (stacks.pins("control", stack.pythons[0]) for stack in stacks.STACKS)

    for name in ("ansible", "ansible-core"):
        assert number(old[name]) < number(newest[name])


@pytest.mark.parametrize("name", stacks.PAGES)
def test_page_has_the_table_of_the_locks(name: str) -> None:
    text = (ROOT / name).read_text()

    assert stacks.page(text) == text, "run `make docs`"


def test_running_stack_is_the_documented_one() -> None:
    stack = OLD if RUNNING in OLD.pythons else NEWEST
    pinned = stacks.pins("control", stack.pythons[0])
    spec = importlib.util.find_spec("ansible_collections.amazon.aws")
    assert spec
    assert spec.submodule_search_locations
    manifest = Path(next(iter(spec.submodule_search_locations))) / "MANIFEST.json"

    assert version("ansible") == pinned["ansible"]
    assert version("ansible-core") == pinned["ansible-core"]
    assert json.loads(manifest.read_text())["collection_info"]["version"] == stack.amazon_aws


@pytest.mark.parametrize(
    ("running", "expected"),
    [
        ("3.11", "python3.13"),
        ("3.12", "python3.11"),
        ("3.13", "python3.11"),
        ("3.14", "python3.11"),
    ],
)
def test_other_stack_of_a_python_is_named(running: str, expected: str) -> None:
    assert stacks.others(running)[0] == expected


def number(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)))
