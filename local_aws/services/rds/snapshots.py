"""The data of DB snapshots: a copy of an instance's data folder for each snapshot.

1. A snapshot is `creating` from the request on, at 0 percent.
2. `fill` copies the data; then the snapshot is `available`, or `failed` if copying raised an error.
3. A restored instance begins with the folder of its snapshot.
4. `copy` does the same with the data of another snapshot, in the background. RDS does not delete
   the source meanwhile.
5. `delete` removes the folder.
"""

from __future__ import annotations

import shutil
import threading
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
        # The folders that are being copied.
        self._sources: list[Path] = []

    def folder(self, snapshot: DBSnapshot) -> Path:
        """Return the folder with the data of a snapshot."""
        # A snapshot in another region may have the same name.
        return self._root / snapshot.region / snapshot.db_snapshot_identifier.replace(":", "_")

    def fill(self, snapshot: DBSnapshot, postgres: Postgres, *, running: bool) -> None:
        """Copy the data of a server into a snapshot that is being created."""
        try:
            postgres.back_up(self._new_folder(snapshot), running=running)
        except BaseException:
            snapshot.status = "failed"
            raise
        _show(snapshot, "available", 100)

    def copy(self, source: DBSnapshot, copy: DBSnapshot) -> None:
        """Copy the data of a snapshot into another one, which is being created until then."""
        begin(copy)
        data, target = self.folder(source), self._new_folder(copy)
        self._sources.append(data)

        def work() -> None:
            try:
                shutil.copytree(data, target, symlinks=True)
            except BaseException:
                copy.status = "failed"
                raise
            finally:
                self._sources.remove(data)
            _show(copy, "available", 100)

        threading.Thread(target=work, name=f"copy of {data.name}", daemon=True).start()

    def is_copied(self, snapshot: DBSnapshot) -> bool:
        """Return whether a copy of a snapshot is being made."""
        return self.folder(snapshot) in self._sources

    def _new_folder(self, snapshot: DBSnapshot) -> Path:
        """Return the folder of a new snapshot, in a parent that exists."""
        folder = self.folder(snapshot)
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

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
