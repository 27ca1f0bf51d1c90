"""Findings of ssh-audit about an SSH server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

# Weak in the auditor's eyes, and accepted: docs/security.md explains each.
ACCEPTED = {"curve25519-sha256", "curve25519-sha256@libssh.org"}
# Where a report lists algorithms.
KINDS = ("kex", "key", "enc", "mac")


def findings(address: str, port: int = 22) -> dict[str, list[str]]:
    """Return the warnings and failures by algorithm, without accepted ones.

    Raises
    ------
    RuntimeError
        If the server could not be examined.
    """
    program = Path(sys.executable).parent / "ssh-audit"
    done = subprocess.run(
        [program, "--json", "--skip-rate-test", "--port", str(port), address],
        check=False,
        text=True,
        capture_output=True,
    )
    # 0: good, 2: warnings, 3: failures; everything else is not a report.
    if done.returncode not in {0, 2, 3}:
        raise RuntimeError(f"ssh-audit failed: {done.stdout}{done.stderr}")
    report = json.loads(done.stdout)
    found: dict[str, list[str]] = {}
    for kind in KINDS:
        for algorithm in report[kind]:
            notes = algorithm.get("notes", {})
            said = [*notes.get("fail", []), *notes.get("warn", [])]
            if said and algorithm["algorithm"] not in ACCEPTED:
                found[algorithm["algorithm"]] = said
    return found
