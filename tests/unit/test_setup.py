"""The message for a user when the set-up cannot continue."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def check_clone(directory: Path) -> subprocess.CompletedProcess[str]:
    directory.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        [ROOT / "scripts/check-clone.sh", directory], text=True, capture_output=True, check=False
    )


@pytest.mark.parametrize(
    "name",
    [
        "a:b",
        "$HOME",
        "`id`",
        "a*",
        "what?",
        "[b]",
        "{{ x }}",
        "{% x",
        "{# x",
        "a\nb",
        "a\tb",
        "a\x7f",
    ],
)
def test_clone_in_a_path_that_ansible_or_python_change_is_refused(
    tmp_path: Path, name: str
) -> None:
    done = check_clone(tmp_path / name / "mlflow")
    assert done.returncode == 1
    assert done.stderr.startswith("clone: ")
    assert "Move it to another path" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "name", ["my clone", "o'neil", '"q"', "100%", "#1", "-x", "a\\b", "{x}", "é"]
)
def test_clone_in_an_odd_path_is_accepted(tmp_path: Path, name: str) -> None:
    done = check_clone(tmp_path / name / "mlflow")
    assert (done.returncode, done.stderr) == (0, "")


def test_clone_that_was_moved_is_refused_with_the_cure(tmp_path: Path) -> None:
    made = tmp_path / "before"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made / ".venv"], check=True)
    assert check_clone(made).returncode == 0
    made.rename(tmp_path / "after")
    done = check_clone(tmp_path / "after")
    assert done.returncode == 1
    assert f"made as {made}/.venv. Remove it (rm -r .venv)" in done.stderr


def test_clone_with_a_link_to_its_environment_is_accepted(tmp_path: Path) -> None:
    made = tmp_path / "first/.venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True)
    (tmp_path / "second").mkdir()
    (tmp_path / "second/.venv").symlink_to(made)
    done = check_clone(tmp_path / "second")
    assert (done.returncode, done.stderr) == (0, "")


def test_system_packages_without_root_and_sudo_names_the_cure() -> None:
    nobody = [str(shutil.which("setpriv")), "--reuid=65534", "--regid=65534", "--clear-groups"]
    with (ROOT / "scripts/system-packages.sh").open() as script:
        done = subprocess.run(
            [*(nobody if os.geteuid() == 0 else []), "/bin/bash", "-s"],
            stdin=script,
            # A path without programs has no sudo.
            env={"PATH": "/usr/bin/nowhere"},
            cwd="/",
            text=True,
            capture_output=True,
            check=False,
        )

    assert done.returncode == 1
    assert "run make as root, or install sudo" in done.stderr


def environment_of_make(**exported: str) -> dict[str, str]:
    """Return what a recipe of the Makefile finds in its environment."""
    done = subprocess.run(
        ["make", "--silent", "--eval=show: ; @env --null", "show"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": "/"} | exported,
        text=True,
        capture_output=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize(
    ("exported", "after"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "upper.test"}, "upper.test,127.0.0.1,localhost"),
        ({"no_proxy": "lower.test"}, "lower.test,127.0.0.1,localhost"),
    ],
)
def test_make_extends_the_addresses_without_proxy(
    name: str, exported: dict[str, str], after: str
) -> None:
    assert environment_of_make(**exported)[name] == after


@pytest.mark.parametrize(
    "name",
    [
        "ANSIBLE_BECOME",
        "ANSIBLE_INVENTORY",
        "ANSIBLE_ROLES_PATH",
        "BASH_ENV",
        "CDPATH",
        "GIT_DIR",
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONWARNINGS",
        "UV_PYTHON",
        "VIRTUAL_ENV",
    ],
)
def test_make_ignores_variables_that_other_projects_export(name: str) -> None:
    assert name not in environment_of_make(**{name: "/nowhere"})


def test_make_keeps_the_documented_choice_of_a_strategy() -> None:
    assert environment_of_make(ANSIBLE_STRATEGY="linear")["ANSIBLE_STRATEGY"] == "linear"


@pytest.mark.parametrize("locale", ["C", "POSIX", "nosuch", "de_DE.ISO-8859-1"])
def test_make_uses_a_locale_that_ansible_accepts(locale: str) -> None:
    assert environment_of_make(LC_ALL=locale)["LC_ALL"] == "C.UTF-8"


def test_make_passes_each_setting_of_local_aws_to_sudo() -> None:
    settings = set(re.findall("LOCAL_AWS_[A-Z0-9_]+", (ROOT / "local_aws/settings.py").read_text()))
    [passed] = re.findall("^PASSED := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"LOCAL_AWS_PORT", "LOCAL_AWS_RDS_SECONDS"} <= settings
    assert settings - set(passed.split(",")) == set()


def test_make_help_lists_each_documented_target() -> None:
    rules = re.findall(r"(?m)^([^\s#:=]+):[^=].*## ", (ROOT / "Makefile").read_text())
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if "MAKE" not in name},
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    # Names with a digit are among them.
    assert any(re.search(r"\d", rule) for rule in rules)
    assert re.findall(r"(?m)^ +make (\S+)", shown) == rules


def test_make_environment_is_not_built_again_once_it_is_complete() -> None:
    """A rule whose target is a file and that does not write it runs each time."""
    rules = re.findall(
        r"(?m)^(\$\(\w+\)/\S+): [^\n]*\n((?:\t[^\n]*\n)+)", (ROOT / "Makefile").read_text()
    )

    assert len(rules) > 3
    assert [target for target, recipe in rules if "\t@touch $@\n" not in recipe] == []
