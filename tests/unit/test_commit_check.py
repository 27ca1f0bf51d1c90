"""scripts/check_commits.py: which messages it accepts, and which commits it looks at."""

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

SCRIPT = "scripts/check_commits.py"
GOOD = "tests: add a case\n\nIt was missing."
PERSON = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "Ana"), ("EMAIL", "ana@example.com"))
}


def check(message: str, folder: Path) -> str:
    """Return what is said of a message, "" if it is accepted."""
    file = folder / "COMMIT_EDITMSG"
    file.write_text(message)
    done = subprocess.run(
        [sys.executable, ROOT / SCRIPT, "--message", file],
        check=False,
        text=True,
        capture_output=True,
    )
    assert done.returncode == int(bool(done.stderr))
    return done.stderr


@pytest.mark.parametrize(
    "message",
    [
        GOOD,
        "aws_rds, aws_lambda: repeat the first call\n\nRDS refuses it.\n",
        "roles/mlflow: pass the path through\n\nWhy.\n# Please enter the commit message\n",
        "docs: need fewer words\n\nWhy.\n\nSigned-off-by: Ana <ana@example.com>\n",
        "local_aws: bring back EC2's 2nd answer (400)\n\nWhy.",
        f"a: {'x' * 69}\n\nWhy.",
        "tests: add a case\n\nWhy.\n# ------------------------ >8 ------------------------\ndiff x",
    ],
)
def test_message_of_the_form_is_accepted(tmp_path: Path, message: str) -> None:
    assert check(message, tmp_path) == ""


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("", 'not "area: imperative"'),
        ("Add a case\n\nWhy.", 'not "area: imperative"'),
        ("tests: Add a case\n\nWhy.", 'not "area: imperative"'),
        ("tests:add a case\n\nWhy.", 'not "area: imperative"'),
        ("tests: add a case.\n\nWhy.", "without a full stop"),
        ('Revert "tests: add a case"\n\nWhy.', 'not "area: imperative"'),
        ("fixup! tests: add a case\n\nWhy.", 'not "area: imperative"'),
        ("tests: added a case\n\nWhy.", '"added" is not an imperative'),
        ("tests: adding a case\n\nWhy.", '"adding" is not an imperative'),
        ("tests: adds a case\n\nWhy.", '"adds" is not an imperative'),
        (f"a: {'x' * 70}\n\nWhy.", "has 73 characters"),
        ("tests: add a case\nWhy.", "second line is not blank"),
        ("tests: add a case", "no body"),
        ("tests: add a case\n\n# only a comment\n", "no body"),
        ("tests: add a case\n\nCo-authored-by: Ana <ana@example.com>", "no body"),
    ],
)
def test_message_of_another_form_is_refused(tmp_path: Path, message: str, fault: str) -> None:
    assert fault in check(message, tmp_path)


def git(clone: Path, *arguments: str) -> None:
    command = ["git", "-C", str(clone), *arguments]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **PERSON})


def commit(clone: Path, message: str) -> None:
    git(clone, "commit", "--quiet", "--allow-empty", "--message", message)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a repository with the script, whose first commit has a message without a body."""
    clone = tmp_path / "clone"
    (clone / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / SCRIPT, clone / "scripts")
    git(clone, "init", "--quiet", "--initial-branch=main")
    commit(clone, "first")
    return clone


def check_all(clone: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, clone / SCRIPT], check=False, text=True, capture_output=True
    )


def test_commits_before_the_last_version_are_not_checked(clone: Path) -> None:
    git(clone, "tag", "v0.1.0")
    commit(clone, GOOD)
    assert check_all(clone).stdout == "Commit messages: checked 1 commits since v0.1.0.\n"
    assert check_all(clone).returncode == 0

    commit(clone, "second")
    done = check_all(clone)
    assert done.returncode == 1
    assert 'not "area: imperative"' in done.stderr
    assert "no body" in done.stderr


def test_merges_are_not_checked(clone: Path) -> None:
    git(clone, "tag", "v0.1.0")
    git(clone, "switch", "--quiet", "--create", "other")
    commit(clone, GOOD)
    git(clone, "switch", "--quiet", "main")
    git(clone, "merge", "--quiet", "--no-ff", "--message=Merge branch other", "other")

    assert check_all(clone).stdout == "Commit messages: checked 1 commits since v0.1.0.\n"


def test_shallow_clone_without_tags_is_checked_as_far_as_it_goes(
    clone: Path, tmp_path: Path
) -> None:
    commit(clone, GOOD)
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{clone}", "shallow")
    shallow = tmp_path / "shallow"
    (shallow / "scripts").mkdir()
    shutil.copy(ROOT / SCRIPT, shallow / "scripts")
    done = check_all(shallow)

    assert done.returncode == 0
    assert done.stdout.startswith("Commit messages: checked 1 commits later than 545e02d")


def test_folder_without_git_is_not_checked(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / SCRIPT, tmp_path / "scripts")
    done = check_all(tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert "not checked" in done.stdout
