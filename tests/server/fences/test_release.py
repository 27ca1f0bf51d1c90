"""A release is recorded after the patches were tested with it, and left alone otherwise."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import BIN, ROOT
from tests.tracking_server import VERSION, VERSIONS

if TYPE_CHECKING:
    from pathlib import Path

FOLDERS = ("collections", "requirements", "roles", "scripts", "server", "tests")
RELEASES = "server/mlflow_host/fences/releases"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of what the script reads, with the environment of the tests."""
    for name in ("aws_transcript", "local_aws", *FOLDERS):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / ".venv").symlink_to(BIN.parent)
    return tmp_path


def run(clone: Path, version: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(clone / "scripts/test-release.sh"),
        str(clone / f"requirements/server/{version}.txt"),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_release_each_lock_answers_as_its_mlflow_and_is_recorded(clone: Path, version: str) -> None:
    record = clone / RELEASES / f"{version}.json"
    expected = record.read_text()
    record.unlink()

    done = run(clone, version)

    assert done.returncode == 0, done.stdout + done.stderr
    assert record.read_text() == expected
    assert list(clone.glob(".cache/release-*")) == []


@pytest.mark.slow
def test_release_with_further_column_is_not_recorded(clone: Path) -> None:
    fences = clone / "server/mlflow_host/fences/__init__.py"
    column = '("key", "value", "run_uuid")'
    fences.write_text(fences.read_text().replace(column, '("key", "run_uuid")', 1))
    record = clone / RELEASES / f"{VERSION}.json"
    record.unlink()

    done = run(clone, VERSION)

    assert done.returncode == 1
    assert (
        "run_search: mlflow/store/tracking/dbmodels/models.py:SqlParam has the columns"
        in done.stderr
    )
    assert not record.exists()
