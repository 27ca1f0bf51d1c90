"""scripts/release.py: what it refuses, and what a release is made of."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

TODAY = dt.datetime.now(dt.UTC).date().isoformat()
PERSON = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "Ana"), ("EMAIL", "ana@example.com"))
}


def git(clone: Path, *arguments: str) -> str:
    command = ["git", "-C", str(clone), *arguments]
    done = subprocess.run(
        command, check=True, text=True, capture_output=True, env={**os.environ, **PERSON}
    )
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a clone of this working tree, on branch main."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        text=True,
        capture_output=True,
    )
    for name in listed.stdout.rstrip("\0").split("\0"):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message=all")
    program = tmp_path / ".venv-release/bin/cyclonedx-py"
    program.parent.mkdir(parents=True)
    program.symlink_to(ROOT / ".venv-release/bin/cyclonedx-py")
    return tmp_path


def release(clone: Path, command: str, version: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, clone / "scripts/release.py", command, version],
        cwd=clone,
        env={**os.environ, **PERSON},
        check=False,
        text=True,
        capture_output=True,
    )


def run(command: list[str], environment: dict[str, str]) -> str:
    """Run a program of Ansible's, and return what it prints."""
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run(
        [program, *command[1:]], env=environment, check=True, text=True, capture_output=True
    )
    return done.stdout


@pytest.mark.parametrize("version", ["", "1", "v0.1.0", "0.1", "0.1.0rc1", "00.1.0", "0.1.0.0"])
@pytest.mark.parametrize("command", ["build", "tag"])
def test_release_without_a_version_is_refused(command: str, version: str) -> None:
    done = release(ROOT, command, version)

    assert done.returncode == 1
    assert done.stderr.startswith(f"VERSION: '{version}' is not a valid version: ")


def test_release_of_a_clone_that_is_not_ready_is_refused(clone: Path) -> None:
    before = git(clone, "rev-parse", "HEAD")
    (clone / "forgotten.txt").write_text("x")
    assert release(clone, "tag", "0.1.0").stderr.startswith("clone: forgotten.txt not committed")
    (clone / "forgotten.txt").unlink()

    git(clone, "switch", "--quiet", "--create", "other")
    assert release(clone, "tag", "0.1.0").stderr.startswith("branch: other is not main")
    git(clone, "switch", "--quiet", "main")

    git(clone, "tag", "v0.2.0")
    assert release(clone, "tag", "0.2.0").stderr.startswith("VERSION: 0.2.0 is already released")
    assert release(clone, "tag", "0.1.9").stderr.startswith("VERSION: 0.1.9 is not above 0.2.0")

    changelog = clone / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-01-01\n\n- x\n")
    git(clone, "commit", "--quiet", "--all", "--message=empty")
    assert release(clone, "tag", "0.3.0").stderr.startswith('CHANGELOG.md: "## Unreleased"')
    assert git(clone, "rev-parse", "HEAD^") == before
    assert git(clone, "tag", "--list") == "v0.2.0"


def test_release_that_cannot_be_built_leaves_the_clone_as_it_was(clone: Path) -> None:
    before = git(clone, "rev-parse", "HEAD")
    (clone / ".venv-release/bin/cyclonedx-py").unlink()
    done = release(clone, "tag", "0.1.0")

    assert done.returncode == 1
    assert "run make dist" in done.stderr
    assert git(clone, "rev-parse", "HEAD") == before
    assert (git(clone, "status", "--porcelain"), git(clone, "tag", "--list")) == ("", "")


@pytest.mark.slow
def test_release_is_a_tagged_commit_with_package_bill_and_checksums(clone: Path) -> None:
    done = release(clone, "tag", "0.1.0")
    assert done.returncode == 0, done.stderr
    dist = clone / "dist"

    # The commit.
    assert git(clone, "tag", "--list", "--points-at", "HEAD") == "v0.1.0"
    assert git(clone, "status", "--porcelain") == ""
    assert git(clone, "log", "-1", "--format=%s") == "release: set version 0.1.0"
    assert git(clone, "diff", "--name-only", "HEAD^").split() == [
        "CHANGELOG.md",
        "collections/ansible_collections/mlflow_ec2/aws/galaxy.yml",
        "pyproject.toml",
    ]
    changelog = (clone / "CHANGELOG.md").read_text()
    assert f"## Unreleased\n\n## 0.1.0 - {TODAY}\n" in changelog
    assert 'version = "0.1.0"\n' in (clone / "pyproject.toml").read_text()

    # The files.
    sums = dict(line.split("  ")[::-1] for line in (dist / "SHA256SUMS").read_text().splitlines())
    assert sorted(sums) == [
        "metrics-function-0.1.0.cdx.json",
        "metrics-function-0.1.0.zip",
        "mlflow_ec2-aws-0.1.0.tar.gz",
    ]
    for name, digest in sums.items():
        assert hashlib.sha256((dist / name).read_bytes()).hexdigest() == digest
    assert sorted(path.name for path in dist.iterdir()) == ["NOTES.md", "SHA256SUMS", *sorted(sums)]
    notes = (dist / "NOTES.md").read_text()
    assert notes.strip() in changelog
    assert "## " not in notes.replace("### ", "")

    # Each package of the zip is in the bill of materials, with its version and its hashes.
    with zipfile.ZipFile(dist / "metrics-function-0.1.0.zip") as archive:
        names = archive.namelist()
    packages = {name.split(".dist-info/")[0] for name in names if ".dist-info/" in name}
    bill = json.loads((dist / "metrics-function-0.1.0.cdx.json").read_text())
    listed = {f"{part['name'].replace('-', '_')}-{part['version']}" for part in bill["components"]}
    assert "handler.py" in names
    assert packages == listed
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["version"] == "0.1.0"
    assert all(
        reference["hashes"]
        for part in bill["components"]
        for reference in part["externalReferences"]
    )

    # The collection installs into an empty environment, which then documents its modules.
    (dist / "ansible.cfg").write_text("")
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(dist / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(clone / "installed"),
    }
    collection = str(dist / "mlflow_ec2-aws-0.1.0.tar.gz")
    # What it depends on comes with Ansible, so Galaxy is asked for nothing.
    run(["ansible-galaxy", "collection", "install", "--offline", collection], environment)
    described = json.loads(run(["ansible-doc", "--json", "--list", "mlflow_ec2.aws"], environment))
    modules = (ROOT / "collections/ansible_collections/mlflow_ec2/aws/plugins/modules").glob("*.py")
    assert sorted(described) == sorted(f"mlflow_ec2.aws.{module.stem}" for module in modules)

    # The same tag gives the same files.
    assert release(clone, "build", "0.1.0").returncode == 0
    assert (
        dict(line.split("  ")[::-1] for line in (dist / "SHA256SUMS").read_text().splitlines())
        == sums
    )
    other = release(clone, "build", "0.1.1")
    assert other.stderr == "VERSION: 0.1.1 differs from 0.1.0 in pyproject.toml\n"
