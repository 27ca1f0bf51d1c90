#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: the zip of a Python Lambda function, built reproducibly."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: lambda_package
short_description: Build the zip of a Python Lambda function reproducibly
description:
  - Builds a zip from a directory of Python sources and a lock of hashed requirements, for the
    Python version and the architecture of the Lambda function, whatever those of this machine.
  - The same inputs give the same bytes, whenever and from whichever directory they are built. Only
    another release of zlib may compress differently.
  - The results C(inputs_sha256) and C(extra_files_sha256) are the same on every machine, whether or
    not it has that interpreter, and whichever its release of zlib.
  - A fingerprint of the inputs is kept beside the zip, so that an unchanged package is neither
    installed nor compressed again.
  - Where an interpreter of the runtime's version is on this machine, the zip carries bytecode; new
    instances of the function then need not make it of the sources (E(/var/task) is read-only).
    A machine with that interpreter and one without build different zips.
  - Check mode compares the fingerprint and builds nothing. As a build touches only O(dest), set
    C(check_mode=false) on the task where a later one needs the zip.
author:
  - MLflow on EC2 contributors
options:
  src:
    description:
      - The directory with the function's sources. Its contents become the root of the zip.
    type: path
    required: true
  exclude:
    description:
      - Shell patterns of what is left out of O(src), matched against each file's or directory's
        name and its path below O(src).
      - C(__pycache__) and C(*.pyc) are always left out; see O(python) for the bytecode in the zip.
    type: list
    elements: str
    default: ['.*', 'tests']
  extra_files:
    description:
      - Files from elsewhere, each by its name in the zip, such as a CA certificate.
    type: dict
    default: {}
  lock:
    description:
      - A requirements file in which every package is pinned with hashes.
      - Left out, the package holds the sources alone.
    type: path
  python_version:
    description:
      - The Python version of the function's runtime.
    type: str
    default: '3.13'
  python:
    description:
      - The Python interpreter that makes the bytecode. Its version has to be O(python_version).
      - By default the one that runs this module, if it is of that version, else C(python3.x) of
        E(PATH), else none.
    type: path
  architecture:
    description:
      - The instruction set of the function.
    type: str
    choices: ['x86_64', 'arm64']
    default: x86_64
  dest:
    description:
      - The path of the zip. Its directory must exist.
      - The fingerprint is kept in a file of that name with C(.json) appended.
    type: path
    required: true
  uv:
    description:
      - The uv executable that installs the packages of O(lock).
      - By default the one beside the Python that runs this module, else the first in E(PATH).
    type: path
requirements:
  - uv, if O(lock) is given
attributes:
  check_mode:
    support: full
    description: Compares fingerprints and builds nothing.
  diff_mode:
    support: full
    description: Shows which inputs differ.
"""

EXAMPLES = r"""
- name: Build the metrics function
  mlflow_ec2.aws.lambda_package:
    src: lambda/metrics
    lock: requirements/lambda.txt
    extra_files:
      rds-ca.pem: .deploy/demo/rds-ca.pem
    python_version: '3.13'
    architecture: x86_64
    dest: .deploy/demo/metrics.zip
  register: metrics_package
  check_mode: false

- name: Create the metrics function
  amazon.aws.lambda:
    name: demo-metrics
    zip_file: "{{ metrics_package.path }}"
    runtime: python3.13
    handler: handler.handle
    role: arn:aws:iam::123456789012:role/demo-metrics
"""

RETURN = r"""
path:
  description: The absolute path of the zip.
  returned: success
  type: str
  sample: /home/ops/mlflow/.deploy/demo/metrics.zip
sha256:
  description: The SHA-256 of the zip in base64, as Lambda reports it in C(CodeSha256).
  returned: when the zip exists
  type: str
  sample: Gd1v0yPqJ3cZ0Tq3mVQz7pC4cT0cFq3v0b2m5nB8x1o=
inputs_sha256:
  description:
    - The SHA-256, in hexadecimal, of all that the zip is made from, C(extra_files) left out but for
      their names.
  returned: success
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
extra_files_sha256:
  description: The SHA-256, in hexadecimal, of C(extra_files).
  returned: success
  type: str
  sample: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
size:
  description: The size of the zip in bytes.
  returned: when the zip exists
  type: int
  sample: 4120332
uncompressed_size:
  description: The size of the files in the zip in bytes.
  returned: when the zip exists
  type: int
  sample: 12200110
"""

import base64
import dataclasses
import fnmatch
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from ansible.module_utils.basic import AnsibleModule

# Raised whenever the same inputs give another zip, so that older zips are built again.
_FORMAT = 2
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_NEVER = ("__pycache__", "*.pyc")
# What an installer notes about itself and the machine it ran on, scripts that name its Python,
# and what only type checkers and auditors read.
_NOT_FROM_PACKAGES = (
    *_NEVER,
    ".lock",
    "bin",
    "*.pyi",
    "*.dist-info/RECORD",
    "*.dist-info/INSTALLER",
    "*.dist-info/REQUESTED",
    "*.dist-info/direct_url.json",
    "*.dist-info/uv_*.json",
    "*.dist-info/sboms",
)
_PLATFORMS = {"x86_64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_MAX_UNCOMPRESSED = 250 * 1024 * 1024


class PackageError(Exception):
    """What is wrong, and the cure."""


@dataclasses.dataclass(frozen=True)
class Member:
    """One file of the zip: its contents and whether it is a program."""

    path: Path
    executable: bool

    @property
    def mode(self) -> int:
        """Return the permissions in the zip, which do not depend on the umask here."""
        return 0o755 if self.executable else 0o644


def collect(root: Path, exclude: tuple[str, ...]) -> dict[str, Member]:
    """Return the files below `root` by their name in the zip, sorted, without the excluded ones.

    Raises
    ------
    PackageError
        If a directory is a symbolic link, whose contents would silently be missing.
    """

    def excluded(name: str, relative: str) -> bool:
        return any(
            fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(relative, pattern)
            for pattern in exclude
        )

    found: dict[str, Member] = {}
    for directory, subdirectories, names in os.walk(root):
        here = Path(directory)
        subdirectories[:] = [
            name
            for name in subdirectories
            if not excluded(name, (here / name).relative_to(root).as_posix())
        ]
        for name in subdirectories:
            if (here / name).is_symlink():
                raise PackageError(f"{here / name} is a link to a directory: exclude or copy it")
        for name in names:
            path = here / name
            relative = path.relative_to(root).as_posix()
            if not excluded(name, relative):
                found[relative] = Member(path, bool(path.stat().st_mode & 0o100))
    return dict(sorted(found.items()))


def add_extra_files(sources: dict[str, Member], extra: dict[str, str]) -> dict[str, Member]:
    """Return the sources together with files from elsewhere, sorted by name.

    Raises
    ------
    PackageError
        If a name leads out of the zip or is taken, or a file does not exist.
    """
    members = dict(sources)
    for name, path in extra.items():
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or str(pure) != name or name == ".":
            raise PackageError(
                f"extra_files: {name!r} is not a name in a zip: give a relative path"
            )
        if name in members:
            raise PackageError(f"extra_files: {name!r} is in src as well: give another name")
        if not Path(path).is_file():
            raise PackageError(f"extra_files: {path!r} is not a file: create it first")
        members[name] = Member(Path(path), executable=False)
    return dict(sorted(members.items()))


def merge(sources: dict[str, Member], packages: dict[str, Member]) -> dict[str, Member]:
    """Return the members of the zip, sorted by name.

    Raises
    ------
    PackageError
        If a file of ours would hide one of a package.
    """
    both = sorted(set(sources) & set(packages))
    if both:
        raise PackageError(
            f"{both[0]} is in src (or extra_files) and in a package of lock: rename it"
        )
    return dict(sorted({**packages, **sources}.items()))


def fingerprint(
    sources: dict[str, Member],
    lock: Path | None,
    python_version: str,
    architecture: str,
    *,
    bytecode: bool,
) -> dict[str, Any]:
    """Return everything that the zip is made from, as it is kept beside the zip."""
    return {
        "bytecode": bytecode,
        "format": _FORMAT,
        "python_version": python_version,
        "architecture": architecture,
        "lock": _hex_digest(lock) if lock else None,
        "sources": {
            name: f"{member.mode:o} {_hex_digest(member.path)}" for name, member in sources.items()
        },
    }


def digests(inputs: dict[str, Any], extra: list[str]) -> dict[str, str]:
    """Return digests that differ between machines only if the inputs of the zip differ.

    Extra files have their own digest: a bundle of certificates changes by itself.
    """
    sources = {name: None if name in extra else text for name, text in inputs["sources"].items()}
    common = {**inputs, "bytecode": None, "sources": sources}
    files = {name: inputs["sources"][name] for name in sorted(extra)}
    return {"inputs_sha256": _json_digest(common), "extra_files_sha256": _json_digest(files)}


def write_zip(members: dict[str, Member], path: Path) -> None:
    """Write the members in their order, with nothing in the zip that depends on time or place."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, member in members.items():
            info = zipfile.ZipInfo(name, _TIMESTAMP)
            info.create_system = _UNIX
            info.external_attr = (0o100000 | member.mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.path.read_bytes())


def code_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as Lambda states it."""
    return base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()


def _hex_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _json_digest(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def find_uv(given: str | None) -> str:
    """Return the uv executable: the given one, the one beside this Python, or that of PATH.

    Raises
    ------
    PackageError
        If there is none.
    """
    if given:
        if not os.access(given, os.X_OK):
            raise PackageError(
                f"uv: {given} is not a program: name the uv executable, or leave it out"
            )
        return given
    found = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if not found:
        raise PackageError(
            f"No uv beside {sys.executable} nor in PATH: install the control machine's lock "
            "(make up does) or name the program in the parameter uv"
        )
    return found


def _version(python: str) -> str:
    """Return an interpreter's version, two numbers; empty if it is not an interpreter."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        asked = subprocess.run(
            [python, "-I", "-c", ask], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return asked.stdout.strip()


class Package:
    """The zip that the module was asked for."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.params: dict[str, Any] = module.params
        self.src = Path(module.params["src"]).absolute()
        self.lock = Path(module.params["lock"]).absolute() if module.params["lock"] else None
        self.dest = Path(module.params["dest"]).absolute()
        self.note = self.dest.with_name(f"{self.dest.name}.json")

    def check(self) -> None:
        """Check what the parameters name.

        Raises
        ------
        PackageError
            If something does not exist or has no usable value.
        """
        if not self.src.is_dir():
            raise PackageError(f"src: {self.src} is not a directory: name the sources")
        if self.lock and not self.lock.is_file():
            raise PackageError(f"lock: {self.lock} is not a file: make lock writes the locks")
        if not self.dest.parent.is_dir():
            raise PackageError(f"dest: {self.dest.parent} is not a directory: create it first")
        if self.dest.is_dir():
            raise PackageError(f"dest: {self.dest} is a directory: name the zip itself")
        if not re.fullmatch(r"3\.\d+", self.params["python_version"]):
            version = self.params["python_version"]
            raise PackageError(f"python_version is {version}: give two numbers, as '3.13'")

    def make(self) -> dict[str, Any]:
        """Build the zip unless it is there already; return the module's result."""
        sources = collect(self.src, (*_NEVER, *self.params["exclude"]))
        if not sources:
            raise PackageError(f"src: nothing is left of {self.src} after exclude")
        sources = add_extra_files(sources, self.params["extra_files"])
        self.python = self._find_python()
        inputs = fingerprint(
            sources,
            self.lock,
            self.params["python_version"],
            self.params["architecture"],
            bytecode=self.python is not None,
        )
        self.digests = digests(inputs, list(self.params["extra_files"]))
        known = self._known()
        if known.get("inputs") == inputs:
            return {"changed": False, **self._facts()}

        diff = {"before": known.get("inputs", {}), "after": inputs}
        if self.module.check_mode:
            return {"changed": True, "diff": diff, **self._facts()}
        with tempfile.TemporaryDirectory(dir=self.module.tmpdir) as scratch:
            changed = self._build(sources, Path(scratch))
        note = {"sha256": code_sha256(self.dest), "inputs": inputs}
        self._replace(self.note, json.dumps(note, indent=1).encode())
        return {"changed": changed, "diff": diff if changed else {}, **self._facts()}

    def _known(self) -> dict[str, Any]:
        """Return what is noted beside the zip, if the zip is still the one that it was made for."""
        try:
            note: dict[str, Any] = json.loads(self.note.read_bytes())
            if note["sha256"] == code_sha256(self.dest):
                return note
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass  # No zip, no note, or one that was cut short: build again.
        return {}

    def _build(self, sources: dict[str, Member], scratch: Path) -> bool:
        """Write the zip; return whether its bytes differ from those that were there."""
        packages: dict[str, Member] = {}
        if self.lock:
            target = scratch / "packages"
            self._install(self.lock, target)
            packages = collect(target, _NOT_FROM_PACKAGES)
        members = merge(sources, packages)
        if self.python:
            members = merge(members, self._compile(self.python, members, scratch / "bytecode"))
        size = sum(member.path.stat().st_size for member in members.values())
        if size > _MAX_UNCOMPRESSED:
            raise PackageError(
                f"The package holds {size} bytes, but Lambda takes {_MAX_UNCOMPRESSED}: exclude "
                "files or lock fewer packages"
            )
        built = scratch / "package.zip"
        write_zip(members, built)
        if self.dest.exists() and code_sha256(built) == code_sha256(self.dest):
            return False
        self._replace(self.dest, built.read_bytes())
        return True

    def _find_python(self) -> str | None:
        """Return an interpreter of the runtime's version: the given one, this, that of PATH, none.

        Raises
        ------
        PackageError
            If the given one is not of that version.
        """
        wanted, given = self.params["python_version"], self.params["python"]
        for candidate in [given] if given else [sys.executable, shutil.which(f"python{wanted}")]:
            if candidate and _version(candidate) == wanted:
                return candidate
        if given:
            raise PackageError(f"python: {given} is not Python {wanted}: name one, or leave it out")
        return None

    def _compile(self, python: str, members: dict[str, Member], target: Path) -> dict[str, Member]:
        """Return the bytecode of all sources: the same wherever and whenever it is made."""
        for name, member in members.items():
            if name.endswith(".py"):
                copy = target / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(member.path, copy)
        command = [
            *(python, "-I", "-m", "compileall", "-q", "-f"),
            # Nothing in it depends on time or place, and nobody compares it with the source.
            *("--invalidation-mode", "unchecked-hash", "-s", str(target), "-p", "/var/task"),
            str(target),
        ]
        status, output, errors = self.module.run_command(command)
        if status != 0:
            raise PackageError(f"{python} could not compile: {(output + errors).strip()}")
        return collect(target, ("*.py",))

    def _install(self, lock: Path, target: Path) -> None:
        """Unpack the wheels of the lock for the function's platform into `target`."""
        command = [
            *(find_uv(self.params["uv"]), "pip", "install", "--quiet"),
            *("--target", str(target), "--python", sys.executable),
            *("--python-platform", _PLATFORMS[self.params["architecture"]]),
            *("--python-version", self.params["python_version"]),
            *("--only-binary", ":all:", "--require-hashes", "--no-compile-bytecode"),
            *("--link-mode", "copy", "-r", str(lock)),
        ]
        # The interpreter only runs uv's questions; the wheels need none of their version here.
        settings = {"UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1"}
        if _CERTIFICATES.exists():
            # Networks of companies have authorities of their own, which the system trusts.
            settings["UV_SYSTEM_CERTS"] = "true"
        status, _, errors = self.module.run_command(command, environ_update=settings)
        if status != 0:
            raise PackageError(f"uv could not install {lock}: {errors.strip()}")

    def _replace(self, path: Path, content: bytes) -> None:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"path": str(self.dest), **self.digests}
        if self.dest.is_file() and zipfile.is_zipfile(self.dest):
            with zipfile.ZipFile(self.dest) as archive:
                facts["uncompressed_size"] = sum(info.file_size for info in archive.infolist())
            facts |= {"sha256": code_sha256(self.dest), "size": self.dest.stat().st_size}
        return facts


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path", "required": True},
            "python": {"type": "path"},
            "exclude": {"type": "list", "elements": "str", "default": [".*", "tests"]},
            "extra_files": {"type": "dict", "default": {}},
            "lock": {"type": "path"},
            "python_version": {"type": "str", "default": "3.13"},
            "architecture": {
                "type": "str",
                "choices": ["x86_64", "arm64"],
                "default": "x86_64",
            },
            "dest": {"type": "path", "required": True},
            "uv": {"type": "path"},
        },
        supports_check_mode=True,
    )
    package = Package(module)
    try:
        package.check()
        result = package.make()
    except (PackageError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
