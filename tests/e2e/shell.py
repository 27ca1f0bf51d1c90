"""A shell as a login gives it: no variable of the tests' or of this project's."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# A network that needs these sets them for every login.
NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_INDEX_URL")


def login_environment() -> dict[str, str]:
    """Return the environment of a login."""
    kept = {name: os.environ[name] for name in ("HOME", *NETWORK) if name in os.environ}
    user = os.environ.get("USER") or "root"
    return {"PATH": PROGRAMS, "TERM": "dumb", "LANG": "C.UTF-8", "USER": user, **kept}


def run_shell(
    script: str,
    directory: Path,
    seconds: float = 300,
    exported: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run commands in a fresh shell; what hangs is ended, and fails."""
    return subprocess.run(
        [
            *("timeout", "--kill-after=10", str(seconds)),
            *("bash", "--noprofile", "--norc", "-c", script),
        ],
        cwd=directory,
        env=login_environment() | (exported or {}),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
