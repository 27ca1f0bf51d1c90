"""scripts/check_language.py: what is found, and what is accepted."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

BAD = "The port is no number.\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a repository with the check and no other text."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/check_language.py", tmp_path / "scripts")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    return tmp_path


def check(clone: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, clone / "scripts/check_language.py"],
        check=False,
        text=True,
        capture_output=True,
    )


@pytest.mark.parametrize("name", ["new.md", "new.py", "roles/x/tasks/main.yml"])
def test_phrase_is_found_with_what_to_write_instead(clone: Path, name: str) -> None:
    (clone / name).parent.mkdir(parents=True, exist_ok=True)
    (clone / name).write_text(BAD)
    done = check(clone)

    assert done.returncode == 1
    assert f'{name}:1: "is no n": write "is not a ..."' in done.stderr


@pytest.mark.parametrize(
    "phrase",
    [
        "It is mended.",
        "Built anew.",
        "kept for ever",
        "The way back is long.",
        "It stands in the file.",
        "It lies on the host.",
        "The role wants a name.",
        "A user may not log in.",
        "It was told the port.",
        "- Who adds a role adds its end.",
        "130 as they should be",
        "small hexadecimal digits",
        "There are users; theirs is none.",
    ],
)
def test_phrase_of_the_table_is_found(clone: Path, phrase: str) -> None:
    (clone / "new.md").write_text(f"{phrase}\n")

    assert check(clone).returncode == 1


@pytest.mark.parametrize(
    "phrase",
    [
        "It is no longer used.",
        "There is no role, and there is none elsewhere.",
        "Users who add a role are asked: Who adds it?",
        "`recommended` and `standards`",
        "MLflow stands for nothing.",
        "that: quota.value is none or count < quota.value",
    ],
)
def test_plain_phrase_is_accepted(clone: Path, phrase: str) -> None:
    (clone / "new.md").write_text(f"{phrase}\n")

    assert check(clone).returncode == 0
