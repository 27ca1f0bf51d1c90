"""Playbooks run with Mitogen and without it."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import ansible.module_utils
import mitogen
import mitogen.master
import mitogen.minify
import pytest
from ansible.modules import ping
from ansible_collections.mlflow_ec2.aws.plugins.strategy import warm
from ansible_mitogen import module_finder, transport_config

from tests.conftest import BIN, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

ANSIBLE_UTILS = list(ansible.module_utils.__path__)
PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Run a module
      ansible.builtin.ping:
"""
COLLECTION_PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Run a module of a collection
      community.general.ini_file:
        path: "{{ playbook_dir }}/file.ini"
        section: section
        option: option
        value: value
        mode: "0600"
"""


@pytest.mark.parametrize("mitogen", ["installed", "missing"])
def test_strategy_without_mitogen_is_linear(tmp_path: Path, mitogen: str) -> None:
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(PLAYBOOK)
    environment = dict(os.environ)
    if mitogen == "missing":
        package = tmp_path / "path/ansible_mitogen/__init__.py"
        package.parent.mkdir(parents=True)
        package.write_text("raise ImportError('not installed')\n")
        environment["PYTHONPATH"] = str(tmp_path / "path")
    done = subprocess.run(
        [
            *(BIN / "ansible-playbook", "--inventory=localhost,", "--connection=local"),
            f"--extra-vars=ansible_python_interpreter={sys.executable}",
            playbook,
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok=1 " in done.stdout


def test_strategy_with_a_long_temporary_directory_runs(tmp_path: Path) -> None:
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(PLAYBOOK)
    # Longer than the path of a Unix socket can be.
    temporary = tmp_path / ("t" * 120)
    temporary.mkdir()
    done = subprocess.run(
        [BIN / "ansible-playbook", "--inventory", ROOT / "inventory/local", playbook],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("strategy", ["mlflow_ec2.aws.warm", "linear"])
def test_strategy_with_an_interpreter_in_an_odd_path_runs(tmp_path: Path, strategy: str) -> None:
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(PLAYBOOK)
    interpreter = tmp_path / """my clone, o'neil "q" 100% #1 & é\\""" / "python"
    interpreter.parent.mkdir()
    interpreter.symlink_to(sys.executable)
    variables = {"ansible_python_interpreter": str(interpreter)}
    done = subprocess.run(
        [
            *(BIN / "ansible-playbook", "--inventory=localhost,", "--connection=local"),
            *("--extra-vars", json.dumps(variables), playbook),
        ],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_STRATEGY": strategy},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_strategy_runs_a_module_of_a_collection_without_a_warning(tmp_path: Path) -> None:
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(COLLECTION_PLAYBOOK)
    done = subprocess.run(
        [
            *(BIN / "ansible-playbook", "--inventory=localhost,", "--connection=local"),
            *(f"--extra-vars=ansible_python_interpreter={sys.executable}", playbook),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr


def parse(text: str | None) -> Any:
    """Parse an interpreter with what Mitogen has now."""
    action = SimpleNamespace(_mitogen_discovering_interpreter=False)
    return transport_config.parse_python_path(
        text, candidates=[], task_vars={}, action=action, rediscover_python=False
    )


@pytest.fixture
def split(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Mitogen's own function, whether a plug-in replaced it before or not."""
    own: Callable[..., Any] = inspect.unwrap(transport_config.parse_python_path)
    monkeypatch.setattr(transport_config, "parse_python_path", own)
    return own


@pytest.mark.parametrize(
    "text", [sys.executable, "/missing/python3", "python3", "sudo python3", "'my python' -E"]
)
def test_interpreter_without_blanks_is_split_as_mitogen_does(
    split: Callable[..., Any], text: str
) -> None:
    before = parse(text)
    assert warm.replace_interpreter_split()
    assert transport_config.parse_python_path is not split
    assert parse(text) == before


def test_interpreter_of_another_mitogen_is_left_alone(
    split: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mitogen, "__version__", (0, 4, 0))
    assert not warm.replace_interpreter_split()
    assert not warm.replace_collection_search()
    assert not warm.replace_compilation()
    assert transport_config.parse_python_path is split


def test_interpreter_of_another_signature_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(interpreter: str) -> list[str]:
        return [interpreter]

    monkeypatch.setattr(transport_config, "parse_python_path", other)
    assert not warm.replace_interpreter_split()
    assert transport_config.parse_python_path is other


def test_compilation_finds_the_imports_that_mitogen_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = [
        Path(ping.__file__).with_name(f"{name}.py") for name in ("ping", "setup", "copy", "apt")
    ]

    def imports() -> list[Any]:
        return [module_finder.scan(path.stem, str(path), ANSIBLE_UTILS) for path in modules]

    # A plug-in may have replaced them before.
    for name in ("compile", "open"):
        monkeypatch.delattr(module_finder, name, raising=False)
    theirs = imports()
    assert warm.replace_compilation()
    before = warm._code_of.cache_info().hits
    ours = imports()
    # The files that they share were compiled once.
    assert warm._code_of.cache_info().hits - before > len(modules)
    assert ours == theirs


def test_imports_of_a_file_that_is_sent_are_those_that_mitogen_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ["ansible.module_utils.basic", "ansible_mitogen.target", "mitogen.service"]

    def imports() -> list[Any]:
        return [mitogen.master.ModuleFinder().find_related_imports(name) for name in names]

    for name in names:
        importlib.import_module(name)
    monkeypatch.delattr(mitogen.master, "compile", raising=False)
    theirs = imports()
    assert all(theirs)
    assert warm.replace_compilation()
    assert imports() == theirs


def test_code_is_that_of_the_source_and_not_of_another_file(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("import first\n")
    code = warm._compile_source(b"import second\n", str(file), "exec")
    assert code.co_names == ("second",)
    assert warm._compile_source(b"import first\n", str(file), "exec").co_names == ("first",)
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(SyntaxError):
        warm._compile_source(b"import\n", "<a module>", "exec")


def test_source_is_sent_with_its_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    assert warm.replace_minification()
    assert mitogen.minify.minimize_source(b"x = 1  # one\n") == "x = 1  # one\n"
    monkeypatch.setattr(mitogen, "__version__", (0, 4, 0))
    assert not warm.replace_minification()
