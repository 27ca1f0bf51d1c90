"""Read and check configs and tables before anything is logged."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from football import config as configs
from football import data
from football.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from football.config import Config
    from football.data import Table

MODELS = Path(__file__).resolve().parents[1]
DATA = MODELS / "data"


@dataclass(frozen=True)
class Prepared:
    """A config with its table; `name` is its file."""

    name: str
    config: Config
    table: Table

    @property
    def key(self) -> tuple[str, str]:
        """The digests that make two experiments the same."""
        return self.config.sha256, self.table.sha256


def prepare(path: Path, data_directory: Path | None = None) -> Prepared:
    """Read a config and its table.

    Raises
    ------
    BadInputError
        If one of them cannot be used.
    """
    config = configs.load(path)
    place = data.locate(config.dataset.file_path, path, DATA, data_directory)
    return Prepared(str(path), config, data.load(place, config, path))


def prepare_all(paths: Iterable[Path], data_directory: Path | None = None) -> list[Prepared]:
    """Read configs and their tables; equal configs are taken once.

    Raises
    ------
    BadInputError
        If any of them cannot be used; names all of them.
    """
    found: dict[tuple[str, str], Prepared] = {}
    complaints: dict[str, None] = {}
    for path in paths:
        try:
            prepared = prepare(path, data_directory)
        except BadInputError as error:
            complaints[str(error)] = None
        else:
            found.setdefault(prepared.key, prepared)
    if complaints:
        raise BadInputError("\n".join(complaints))
    return list(found.values())


def provenance_tags() -> dict[str, str]:
    """Return tags with the user, the program, and the version of its code."""
    tags = {
        "mlflow.user": _user(),
        "mlflow.source.name": Path(sys.argv[0]).name,
        "mlflow.source.type": "LOCAL",
    }
    commit = _git("rev-parse", "HEAD")
    if commit:
        tags["mlflow.source.git.commit"] = commit
        tags["commit_changed"] = str(bool(_git("status", "--porcelain", "--", "."))).lower()
    return tags


def _user() -> str:
    """Return the user's name; in a container there may be none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _git(*arguments: str) -> str:
    """Ask Git about this program's code; where there is none, there is no answer."""
    try:
        return subprocess.run(
            ["git", "-C", MODELS, *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
