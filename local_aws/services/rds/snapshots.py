"""The data of DB snapshots: a copy of an instance's data folder for each snapshot.

1. A snapshot is `creating` from the request on, at 0 percent.
2. `fill` copies the data; then the snapshot is `available`, or `failed` if copying raised an error.
3. A restored instance begins with the folder of its snapshot.
4. `delete` removes the folder.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from moto.rds.models import DBSnapshot

    from local_aws.services.rds.postgres import Postgres
    from local_aws.settings import Settings


class Snapshots:
    """The data of all snapshots of one local AWS."""

    def __init__(self, settings: Settings) -> None:
        """Create nothing yet."""
        self._root = settings.rds_dir.with_name("rds-snapshots")

    def folder(self, snapshot: DBSnapshot) -> Path:
        """Return the folder with the data of a snapshot."""
        # An automated snapshot in another region may have the same name.
        name = snapshot.db_snapshot_identifier.replace("rds:", f"rds_{snapshot.region}_")
        return self._root / name

    def fill(self, snapshot: DBSnapshot, postgres: Postgres, *, running: bool) -> None:
        """Copy the data of a server into a snapshot that is being created."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            postgres.back_up(self.folder(snapshot), running=running)
        except BaseException:
            snapshot.status = "failed"
            raise
        _show(snapshot, "available", 100)

    def delete(self, snapshot: DBSnapshot) -> None:
        """Remove the data of a snapshot."""
        folder = self.folder(snapshot)
        if folder.exists():
            shutil.rmtree(folder)


def begin(snapshot: DBSnapshot) -> None:
    """Show that a snapshot is being created."""
    _show(snapshot, "creating", 0)


def _show(snapshot: DBSnapshot, status: str, percent: int) -> None:
    snapshot.status = status
    # moto describes this attribute where it is set; its class does not declare it.
    snapshot.percent_progress = percent  # type: ignore[attr-defined]
