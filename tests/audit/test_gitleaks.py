"""No commit of this repository has a secret that Gitleaks knows."""

from __future__ import annotations

import secrets
import string
import subprocess
from typing import TYPE_CHECKING

import pytest

from local_aws.settings import Settings
from tests.conftest import ROOT
from tests.gitleaks import leaks

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
CONFIG = ROOT / ".gitleaks.toml"


def test_history_has_no_secret(tmp_path: Path) -> None:
    assert leaks(Settings(data_dir=tmp_path), ROOT, CONFIG) == []


def test_secret_that_was_removed_again_is_found(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", "-C", str(repository), *identity, *words], check=True)

    repository = tmp_path / "repository"
    repository.mkdir()
    git("init", "--quiet")
    file = repository / "config.py"
    key = "".join(secrets.choice(string.ascii_uppercase + "234567") for _ in range(16))
    for text in (f'key = "AKIA{key}"\n', "key = None\n"):
        file.write_text(text)
        git("add", "config.py")
        git("commit", "--quiet", "--message=x")
    found = leaks(Settings(data_dir=tmp_path), repository, CONFIG)

    assert [(leak.rule, leak.file, leak.line) for leak in found] == [
        ("aws-access-token", "config.py", 1)
    ]
