"""scripts/check_language.py: a new phrase fails, an old one is allowed, and debt only falls."""

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
GOOD = "The port is not a number. There is no port, and no more than one.\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a repository whose page `old.md` has one phrase, which is recorded."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/check_language.py", tmp_path / "scripts")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / "old.md").write_text(BAD + GOOD)
    assert check(tmp_path, "--update").returncode == 0
    assert (tmp_path / "scripts/language_debt.txt").read_text() == "1 old.md\n"
    return tmp_path


def check(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, clone / "scripts/check_language.py", *arguments],
        check=False,
        text=True,
        capture_output=True,
    )


def test_recorded_phrase_is_allowed(clone: Path) -> None:
    assert check(clone).returncode == 0


@pytest.mark.parametrize("name", ["old.md", "new.md", "new.py", "roles/x/tasks/main.yml"])
def test_new_phrase_is_refused_with_what_to_write_instead(clone: Path, name: str) -> None:
    (clone / name).parent.mkdir(parents=True, exist_ok=True)
    with (clone / name).open("a") as file:
        file.write(BAD)
    done = check(clone)

    assert done.returncode == 1
    assert f'{name}:{3 if name == "old.md" else 1}: "is no n": write "is not a ..."' in done.stderr
    assert check(clone, "--update").returncode == 1
    assert (clone / "scripts/language_debt.txt").read_text() == "1 old.md\n"


def test_debt_falls_with_an_improved_file_and_moves_with_a_renamed_one(clone: Path) -> None:
    (clone / "old.md").rename(clone / "renamed.md")
    assert check(clone).returncode == 1
    assert check(clone, "--update").returncode == 0
    assert check(clone).returncode == 0

    (clone / "renamed.md").write_text(GOOD)
    assert "--update" in check(clone).stdout
    assert check(clone, "--update").returncode == 0
    assert (clone / "scripts/language_debt.txt").read_text() == ""


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
