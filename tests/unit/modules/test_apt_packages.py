"""Packages that are installed cost one command. Molecule installs others, on a host of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.mlflow_ec2.aws.plugins.action.apt_packages import Package, look, parse

ROOT = Path(__file__).resolve().parents[3]
# dpkg itself is installed wherever these tests run.
VERSION = subprocess.run(
    ["dpkg-query", "--show", "--showformat=${Version}", "dpkg"],
    text=True,
    capture_output=True,
    check=True,
).stdout
MISSING = "no-such-package"


def looked(*packages: Package) -> list[str]:
    """Return what the command prints on this machine."""
    command = ["sh", "-c", look(list(packages))]
    return subprocess.run(command, text=True, capture_output=True, check=True).stdout.split("\n")


def test_parse_reads_name_and_least_version() -> None:
    assert parse("libstdc++6") == Package("libstdc++6", "")
    assert parse("caddy>=2.11.0-1~bpo13+1") == Package("caddy", "2.11.0-1~bpo13+1")


@pytest.mark.parametrize("text", ["", "two words", "caddy=2", "caddy>=", "x; reboot", "Caddy"])
def test_parse_refuses_what_is_no_package(text: str) -> None:
    with pytest.raises(AnsibleActionFail, match="is not a valid package"):
        parse(text)


@pytest.mark.parametrize("least", ["", "0.1", VERSION])
def test_package_in_a_sufficient_version_is_installed(least: str) -> None:
    assert "installed dpkg" in looked(Package("dpkg", least))


@pytest.mark.parametrize("package", [Package(MISSING, ""), Package("dpkg", f"9:{VERSION}")])
def test_package_that_is_missing_or_too_old_is_not_installed(package: Package) -> None:
    assert "installed dpkg" not in looked(package)
    assert f"installed {MISSING}" not in looked(package)


def test_lists_are_seen_where_apt_has_some() -> None:
    has_some = any(Path("/var/lib/apt/lists").glob("*_Packages*"))

    assert ("lists" in looked()) == has_some


def play(folder: Path, *tasks: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run tasks on this machine, without changing anything."""
    playbook = folder / "playbook.yml"
    content = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
    playbook.write_text(json.dumps([content]))
    return subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", playbook, "--check"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )


def test_installed_packages_need_no_apt(tmp_path: Path) -> None:
    names = ["dpkg", f"dpkg>={VERSION}"]
    done = play(
        tmp_path,
        {"mlflow_ec2.aws.apt_packages": {"name": names}, "register": "found"},
        # apt would add its output, and the age of its lists.
        {"ansible.builtin.assert": {"that": ["found is not changed", "found.stdout is undefined"]}},
        {"ansible.builtin.assert": {"that": ["found.cache_updated is undefined"]}},
    )

    assert done.returncode == 0, done.stdout
