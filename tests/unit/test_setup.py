"""What a user is told when the set-up cannot go on."""

from __future__ import annotations

import os
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


def test_neither_root_nor_sudo() -> None:
    nobody = [str(shutil.which("setpriv")), "--reuid=65534", "--regid=65534", "--clear-groups"]
    with (ROOT / "scripts/system-packages.sh").open() as script:
        done = subprocess.run(
            [*(nobody if os.geteuid() == 0 else []), "/bin/bash", "-s"],
            stdin=script,
            # Where no program is, sudo is none.
            env={"PATH": "/usr/bin/nowhere"},
            cwd="/",
            text=True,
            capture_output=True,
            check=False,
        )

    assert done.returncode == 1
    assert "run make as root, or install sudo" in done.stderr
