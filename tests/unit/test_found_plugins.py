"""Plug-ins that were searched for once are those that Ansible finds each time."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from typing import Any

import pytest
from ansible.plugins.loader import PluginLoader
from ansible_collections.mlflow_ec2.aws.plugins.plugin_utils import found_plugins

from tests.conftest import ROOT

SEARCHES: list[tuple[str, str, dict[str, Any]]] = [
    ("module", "ansible.builtin.copy", {}),
    ("module", "amazon.aws.s3_bucket", {"mod_type": ""}),
    ("module", "mlflow_ec2.aws.botocore_cache", {"collection_list": []}),
    ("module", "mlflow_ec2.aws.botocore_cache", {"mod_type": ".ps1"}),
    # The collection redirects it.
    ("module", "community.general.docker_container", {}),
    ("module", "ansible.legacy.copy", {}),
    ("module", "copy", {}),
    ("module", "copy", {"collection_list": ["ansible.builtin"]}),
    ("module", "ansible.builtin.nothing", {}),
    ("module", "no.such.module", {}),
    ("action", "ansible.builtin.copy", {}),
    ("action", "amazon.aws.s3_bucket", {}),
    ("action", "mlflow_ec2.aws.difference", {"collection_list": None}),
    ("lookup", "ansible.builtin.file", {}),
    ("filter", "ansible.builtin.core", {}),
]
# Ansible finds collections in a process of its own only.
PROGRAM = """
import collections, json, sys
from ansible.plugins import loader
loader.init_plugin_loader([sys.argv[1] + "/collections"])
from ansible_collections.mlflow_ec2.aws.plugins.plugin_utils import found_plugins

stock = loader.PluginLoader.find_plugin_with_context
searches = []

def search(
    self, name, mod_type="", ignore_deprecated=False, check_aliases=False, collection_list=None
):
    searches.append(name)
    return stock(self, name, mod_type, ignore_deprecated, check_aliases, collection_list)

def find(kind, name, options):
    try:
        found = getattr(loader, kind + "_loader").find_plugin_with_context(name, **options)
    except Exception as error:
        return None, repr(error)
    # What a caller adds is not seen by the next one.
    described = {key: str(value) for key, value in vars(found).items()}, str(found.resolved_fqcn)
    found.redirect_list.append("other")
    return found, described

def all_found():
    return [find(*search)[1] for search in json.loads(sys.argv[2])]

all_found()  # Ansible's search of folders reports other attempts the first time.
results = [all_found()]
loader.PluginLoader.find_plugin_with_context = search
assert found_plugins.keep() and found_plugins.keep()
results += [all_found() for _ in range(3)]
print(json.dumps({"results": results, "searches": collections.Counter(searches)}))
"""


@pytest.fixture(scope="module")
def compared() -> Any:
    """What Ansible finds, what is found with our search three times, and names searched for."""
    program = [sys.executable, "-c", PROGRAM, str(ROOT), json.dumps(SEARCHES)]
    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("number", range(len(SEARCHES)), ids=[str(one) for one in SEARCHES])
def test_each_search_finds_what_ansible_finds(compared: Any, number: int) -> None:
    stock, *ours = (results[number] for results in compared["results"])
    assert ours == [stock] * 3


def test_plugin_of_a_collection_is_searched_for_once(compared: Any) -> None:
    found = [results[0]["resolved"] for results in compared["results"][0]]
    assert found.count("True") > len(SEARCHES) / 2
    searches = compared["searches"]
    assert searches["mlflow_ec2.aws.difference"] == 1
    assert searches["ansible.builtin.copy"] == 2  # as a module and as an action
    # Each time: what is not found, and what depends on folders.
    assert searches["no.such.module"] == 3
    assert searches["ansible.legacy.copy"] == 3


@pytest.mark.parametrize("version", ["2.18.1", "2.20.0", "2.22.0"])
def test_loader_of_another_ansible_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    own = PluginLoader.find_plugin_with_context
    monkeypatch.setattr(found_plugins, "__version__", version)
    assert not found_plugins.keep()
    assert PluginLoader.find_plugin_with_context is own


def test_loader_of_another_signature_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(self: object, name: str) -> None:
        """Take something else."""

    monkeypatch.setattr(PluginLoader, "find_plugin_with_context", find)
    assert not found_plugins.keep()
    assert inspect.unwrap(PluginLoader.find_plugin_with_context) is find
