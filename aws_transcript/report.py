"""Packs a transcript with what its reader needs to know of the run."""

from __future__ import annotations

import io
import json
import platform
import subprocess
import sys
import tarfile
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from aws_transcript import transcript

if TYPE_CHECKING:
    from aws_transcript.transcript import Transcript

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ansible", "ansible-core", "boto3", "botocore", "mitogen")
RECAP = ("ok", "changed", "failed", "unreachable")
CONTENTS = """\
versions.json     versions of the programs, of this repository and of the operating system
outcome.txt       playbooks, changed tasks, failures with their messages, recaps
errors.txt        every call that AWS answered with an error
transcript.jsonl  every call and answer, with secrets, account ids and addresses replaced
"""


def pack(file: Path, archive: Path) -> Path:
    """Write the archive and return its path.

    Raises
    ------
    TranscriptError
        If the transcript is missing.
    """
    recorded = transcript.read(file)
    members = {
        "README.txt": CONTENTS,
        "versions.json": json.dumps(versions(), indent=2) + "\n",
        "outcome.txt": outcome(recorded),
        "errors.txt": errors(recorded, file),
        "transcript.jsonl": file.read_text(),
    }
    try:
        with tarfile.open(archive, "w:gz") as packed:
            for name, text in members.items():
                data = text.encode()
                entry = tarfile.TarInfo(f"aws-report/{name}")
                entry.size, entry.mode = len(data), 0o600
                packed.addfile(entry, io.BytesIO(data))
    except OSError as error:
        raise transcript.TranscriptError(
            f"output: {archive} is not a valid file: {error.strerror}. "
            "Name one in a directory that you may write to."
        ) from error
    return archive


def summary(archive: Path) -> str:
    """Describe the archive's contents and how to read them."""
    return (
        f"{archive} holds, in the directory aws-report:\n\n{CONTENTS}\n"
        f"Nothing has been sent. Read it first: tar -xzf {archive}\n"
        "Names and tags are not replaced: see docs/transcripts.md."
    )


def versions() -> dict[str, str]:
    """Return the versions of what took part in the run."""
    found = {name: _version(name) for name in PACKAGES}
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        system = platform.system()
    return {
        **found,
        "amazon.aws": _collection("amazon", "aws"),
        "python": platform.python_version(),
        "commit": _commit(),
        "system": f"{system}, {platform.machine()}",
    }


def outcome(recorded: Transcript) -> str:
    """Return what the playbooks did, a line each."""
    lines = []
    for event in recorded.events:
        kind = event["event"]
        if kind == "playbook":
            checked = " (--check: a plan, nothing was changed)" if event["check"] else ""
            lines.append(f"playbook {event['name']}{checked}")
        elif kind == "end":
            recap = (f"{name}={event[name]}" for name in RECAP)
            lines.append("  " + " ".join(recap))
        elif kind != "task":
            message = event.get("message", "")
            lines.append(f"  {kind}: {event['name']} ({event['host']}) {message}".rstrip())
    counts = Counter(call.service for call in recorded.calls)
    calls = ", ".join(f"{service} {count}" for service, count in sorted(counts.items()))
    return "\n".join([*lines, f"calls: {calls}"]) + "\n"


def errors(recorded: Transcript, file: Path) -> str:
    """Return each call that failed, with its line in the transcript."""
    lines = file.read_text().splitlines()
    failed = [call for call in recorded.calls if call.error is not None]
    return "".join(
        f"line {call.line}: {call.name}: {call.error} ({call.status}): "
        f"{json.loads(lines[call.line - 1])['error'].get('message', '')}\n"
        for call in failed
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _collection(namespace: str, name: str) -> str:
    """Return the version of a collection of the package ansible."""
    for place in sys.path:
        manifest = Path(place, "ansible_collections", namespace, name, "MANIFEST.json")
        if manifest.is_file():
            return str(json.loads(manifest.read_text())["collection_info"]["version"])
        galaxy = manifest.with_name("galaxy.yml")
        if galaxy.is_file():
            return str(yaml.safe_load(galaxy.read_text())["version"])
    return "not installed"


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    return done.stdout.strip() or "not a clone of Git"
