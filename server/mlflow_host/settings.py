"""Settings of the program: its environment, the files of secrets, and where it is installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# The zip that is installed, or the folder of the sources.
PROGRAM = Path(__file__).resolve().parents[1]
# sysexits.h: systemd does not restart the unit after it, because waiting does not help.
EX_CONFIG = 78


def setting(name: str) -> str:
    """Read a setting from the environment, or stop with the cure."""
    value = os.environ.get(name)
    if not value:
        sys.exit(f"{name} is not set: run this through mlflow.service, or with its environment")
    return value


def secrets_directory() -> Path:
    """Return the folder whose files hold the secrets."""
    return Path(setting("MLFLOW_HOST_SECRETS"))


def secret(name: str) -> str:
    """Read a secret from its file."""
    return (secrets_directory() / name).read_text().strip()
