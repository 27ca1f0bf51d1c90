"""Ansible's loader gives the same data when it copies faster and keeps files of variables."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleFileNotFound
from ansible.parsing.dataloader import DataLoader
from ansible_collections.mlflow_ec2.aws.plugins.plugin_utils import loaded_files

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STOCK = inspect.unwrap(DataLoader.load_from_file)


@pytest.fixture(autouse=True)
def _stock_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with Ansible's own method. What replaces it ends with the test."""
    monkeypatch.setattr(DataLoader, "load_from_file", STOCK)


def load_variables(loader: Any, path: Path) -> Any:
    """Load a file as Ansible loads those of `vars_files`."""
    return loader.load_from_file(str(path), cache="vaulted", unsafe=True, trusted_as_template=True)


def test_variable_files_unchanged_are_parsed_once_and_equal_ansibles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "vars.yml"
    file.write_text("a: [1, '{{ b }}']\n")
    stock = load_variables(DataLoader(), file)
    loader = DataLoader()
    load = Mock(wraps=loader.load)
    monkeypatch.setattr(loader, "load", load)
    assert loaded_files.keep()
    assert loaded_files.keep()

    first, second = load_variables(loader, file), load_variables(loader, file)

    assert first == second == stock
    assert load.call_count == 1


def test_variable_files_changed_are_parsed_again(tmp_path: Path) -> None:
    file = tmp_path / "vars.yml"
    loader = DataLoader()
    assert loaded_files.keep()
    with pytest.raises(AnsibleFileNotFound):
        load_variables(loader, file)
    file.write_text("a: 1\n")
    assert load_variables(loader, file) == {"a": 1}
    file.write_text("a: 22\n")
    assert load_variables(loader, file) == {"a": 22}


def test_loader_of_another_signature_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_from_file(self: object, file_name: str) -> None:
        """Take something else."""

    monkeypatch.setattr(DataLoader, "load_from_file", load_from_file)
    assert not loaded_files.keep()
    assert DataLoader.load_from_file is load_from_file


@pytest.mark.parametrize("version", ["2.18.1", "2.20.0", "2.22.0"])
def test_loader_of_another_ansible_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(loaded_files, "__version__", version)
    assert not loaded_files.keep()
    assert DataLoader.load_from_file is STOCK


def described(data: Any) -> Any:
    """Return types, values and tags, such as where each value was read."""
    tags = sorted(repr(tag) for tag in getattr(data, "_ansible_tags_mapping", {}).values())
    if isinstance(data, dict):
        items = [(described(key), described(value)) for key, value in data.items()]
        return type(data).__name__, tags, items
    if isinstance(data, list):
        return type(data).__name__, tags, [described(value) for value in data]
    return type(data).__name__, tags, data


def containers(data: Any) -> Iterator[Any]:
    """Yield the data and each dict and list in it."""
    if isinstance(data, dict | list):
        yield data
        for value in data.values() if isinstance(data, dict) else data:
            yield from containers(value)


TEXTS = {
    "values": "- {a: 1, b: 1.5, c: true, d: null, e: '{{ x }}', f: 2026-11-30, g: [x, [y]]}\n",
    "unsafe": "a: !unsafe '{{ x }}'\nb: {c: !unsafe [1, '{{ y }}']}\n",
    "aliases": "a: &a {b: [1, 2]}\nc: *a\nd: [*a, *a]\n",
    "empty": "",
    "text": "just a text\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_copy_has_types_values_and_origins_of_a_deep_copy(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tasks.yml"
    file.write_text(text)
    theirs = DataLoader().load_from_file(str(file), trusted_as_template=True)
    assert loaded_files.keep()
    loader = DataLoader()
    ours = [loader.load_from_file(str(file), trusted_as_template=True) for _ in range(2)]
    assert [described(data) for data in ours] == [described(theirs)] * 2
    # What a caller changes is not seen by the next one.
    assert not {id(data) for data in containers(ours[0])} & {id(x) for x in containers(ours[1])}


def test_copies_of_an_alias_are_one_container(tmp_path: Path) -> None:
    file = tmp_path / "tasks.yml"
    file.write_text(TEXTS["aliases"])
    assert loaded_files.keep()
    data = DataLoader().load_from_file(str(file))
    assert data["a"] is data["c"] is data["d"][0] is data["d"][1]


def test_files_of_roles_and_playbooks_are_those_of_ansible() -> None:
    files = [*ROOT.glob("roles/*/*/*.yml"), *ROOT.glob("playbooks/**/*.yml"), ROOT / "site.yml"]
    assert len(files) > 100
    for file in files:
        data = DataLoader().load_from_file(str(file), unsafe=True, trusted_as_template=True)
        assert described(loaded_files.copied(data)) == described(copy.deepcopy(data))
