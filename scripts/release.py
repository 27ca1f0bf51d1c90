"""Release a version: release.py build VERSION | release.py tag VERSION.

`build` writes dist/: the collection, the function's package, its bill of materials (CycloneDX), the
notes and the checksums. `tag` checks the clone, writes the version into CHANGELOG.md,
pyproject.toml and galaxy.yml, builds, commits and tags. Nothing is pushed. If a step fails, the
clone is as it was before.
"""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHANGELOG, PROJECT = ROOT / "CHANGELOG.md", ROOT / "pyproject.toml"
COLLECTION = ROOT / "collections/ansible_collections/mlflow_ec2/aws"
GALAXY = COLLECTION / "galaxy.yml"
DIST = ROOT / "dist"
CYCLONEDX = ROOT / ".venv-release/bin/cyclonedx-py"
LOCK = ROOT / "requirements/lambda.txt"
VERSION_LINE = re.compile(r'(?m)^version = "(.*)"$')
COLLECTION_VERSION_LINE = re.compile(r"(?m)^version: .*$")


class ReleaseError(Exception):
    """Why there is no release; the message has the cure."""


def git(*arguments: str) -> str:
    """Run Git in the clone and return what it prints."""
    command = ["git", "-C", str(ROOT), *arguments]
    done = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE)
    return done.stdout.strip()


def section(version: str) -> str:
    """Return the text of the changelog below the heading of a version, "" if there is none."""
    heading = rf"^## {re.escape(version)}(?: - \d{{4}}-\d\d-\d\d)?\n(.*?)(?=^## |\Z)"
    found = re.search(heading, CHANGELOG.read_text(), re.MULTILINE | re.DOTALL)
    return found.group(1).strip() if found else ""


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, to be compared."""
    return tuple(map(int, version.split(".")))


def check_form(version: str) -> None:
    """Raise ReleaseError if this is not a version."""
    if not re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", version):
        raise ReleaseError(
            f"VERSION: '{version}' is not a valid version: write three numbers. "
            "For example: make release VERSION=0.1.0"
        )


def check(version: str) -> None:
    """Check that the clone can be released as this version.

    Raises
    ------
    ReleaseError
        If it cannot.
    """
    branch = git("branch", "--show-current")
    if branch != "main":
        raise ReleaseError(f"branch: {branch or '(none)'} is not main: run git switch main")
    if changes := git("status", "--porcelain"):
        names = ", ".join(line.split(maxsplit=1)[1] for line in changes.splitlines())
        raise ReleaseError(f"clone: {names} not committed: commit or remove them first")
    if git("tag", "--list", f"v{version}"):
        raise ReleaseError(f"VERSION: {version} is already released: choose a higher one")
    released = re.findall(r"(?m)^v(\d+\.\d+\.\d+)$", git("tag", "--list"))
    newest = max(released, key=numbers, default="0.0.0")
    if numbers(version) <= numbers(newest):
        raise ReleaseError(f"VERSION: {version} is not above {newest}: choose a higher one")
    if not section("Unreleased"):
        raise ReleaseError('CHANGELOG.md: "## Unreleased" has no entries: describe the changes')


def write_version(version: str, date: str) -> None:
    """Give the unreleased changes a version and a date, and the project the version."""
    text = CHANGELOG.read_text()
    heading = f"## Unreleased\n\n## {version} - {date}\n"
    CHANGELOG.write_text(text.replace("## Unreleased\n", heading, 1))
    PROJECT.write_text(VERSION_LINE.sub(f'version = "{version}"', PROJECT.read_text(), count=1))
    GALAXY.write_text(COLLECTION_VERSION_LINE.sub(f"version: {version}", GALAXY.read_text()))


def build_package(package: Path) -> None:
    """Build the function's package, as playbooks do, without the CA file of RDS."""
    arguments = {
        "src": str(ROOT / "lambda/metrics"),
        "exclude": [".*", "*.md"],
        "lock": str(LOCK),
        "dest": str(package),
    }
    ansible = Path(sys.executable).with_name("ansible")
    command = [
        str(ansible),
        "localhost",
        "-m",
        "mlflow_ec2.aws.lambda_package",
        "-a",
        json.dumps(arguments),
    ]
    # The configuration of this clone, not that of whoever releases.
    settings = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_INVENTORY": "localhost,"}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **settings},
        check=False,
        text=True,
        capture_output=True,
    )
    if done.returncode:
        raise ReleaseError(f"dist: {package.name} cannot be built: {done.stdout}{done.stderr}")
    package.with_name(f"{package.name}.json").unlink()


def build_collection(target: Path) -> None:
    """Build the collection, so that the same sources give the same file."""
    galaxy = str(Path(sys.executable).with_name("ansible-galaxy"))
    with tempfile.TemporaryDirectory(prefix="collection-") as directory:
        command = [galaxy, "collection", "build", str(COLLECTION), "--output-path", directory]
        done = subprocess.run(command, check=False, text=True, capture_output=True)
        if done.returncode:
            raise ReleaseError(f"dist: {target.name} cannot be built: {done.stdout}{done.stderr}")
        [built] = Path(directory).iterdir()
        copy_without_times(built, target)


def copy_without_times(source: Path, target: Path) -> None:
    """Copy a .tar.gz without the times of its members, which differ from build to build."""
    with (
        tarfile.open(source) as original,
        gzip.GzipFile(filename="", fileobj=target.open("wb"), mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as copy,
    ):
        for member in original:
            member.mtime = 0
            copy.addfile(member, original.extractfile(member) if member.isfile() else None)


def build_bill(bill: Path) -> None:
    """Write the bill of materials of the function's lock."""
    if not CYCLONEDX.is_file():
        raise ReleaseError("dist: .venv-release has no cyclonedx-py: run make dist")
    command = [
        *(str(CYCLONEDX), "requirements", str(LOCK), "--pyproject", str(PROJECT)),
        *("--output-reproducible", "--validate", "--of", "JSON", "-o", str(bill)),
    ]
    subprocess.run(command, check=True)


def build(version: str) -> None:
    """Write dist/ for this version.

    Raises
    ------
    ReleaseError
        If the project has another version, or the changelog has nothing on this one.
    """
    found = VERSION_LINE.search(PROJECT.read_text())
    if not found or found.group(1) != version:
        other = found.group(1) if found else "no version"
        raise ReleaseError(f"VERSION: {version} differs from {other} in pyproject.toml")
    if not re.search(rf"^## {re.escape(version)} - ", CHANGELOG.read_text(), re.MULTILINE):
        raise ReleaseError(f"CHANGELOG.md: there is no section of {version} with a date")
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    build_bill(DIST / f"metrics-function-{version}.cdx.json")
    build_collection(DIST / f"mlflow_ec2-aws-{version}.tar.gz")
    build_package(DIST / f"metrics-function-{version}.zip")
    (DIST / "NOTES.md").write_text(section(version) + "\n")
    files = sorted(DIST.glob(f"*-{version}.*"))
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (DIST / "SHA256SUMS").write_text("".join(sums))


def tag(version: str) -> None:
    """Check, write the version, build, commit and tag."""
    check(version)
    before = {file: file.read_text() for file in (CHANGELOG, PROJECT, GALAXY)}
    try:
        write_version(version, dt.datetime.now(dt.UTC).date().isoformat())
        build(version)
        message = f"release: set version {version}\n\nThe changelog says what changed."
        git("commit", "--quiet", "--all", "--message", message)
    except BaseException:
        for file, text in before.items():
            file.write_text(text)
        raise
    git("tag", "--annotate", f"v{version}", "--message", f"Version {version}")
    print(f"Tagged v{version}; dist/ has its files. Publish it: git push origin main v{version}")


def main() -> int:
    """Run a command; return the exit code."""
    command, version = [*sys.argv[1:], "", ""][:2]
    try:
        check_form(version)
        {"build": build, "tag": tag}[command](version)
    except (ReleaseError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
