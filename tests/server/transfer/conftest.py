"""A deployment whose server has started once, to import to and to export from."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.tracking_server import ADMIN, ADMIN_PASSWORD, deployed_server, installed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Cluster
    from tests.tracking_server import Host

LOGIN = {"MLFLOW_TRACKING_USERNAME": ADMIN, "MLFLOW_TRACKING_PASSWORD": ADMIN_PASSWORD}


@dataclass(frozen=True)
class Target:
    """A deployment whose server has started once, and does not run."""

    cluster: Cluster
    name: str
    host: Host
    folder: Path

    def run(self, command: str, database: Path, *options: str) -> dict[str, Any]:
        """Run a command of the import or the export; return what it printed."""
        file = "--file" if command == "export" else "--database"
        printed: dict[str, Any] = json.loads(
            self.host.run(
                *(command, f"--owner={self.host.owner}", f"{file}={database}", *options),
                text=self.host.password,
            )
        )
        return printed

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return all rows of all tables."""
        tables = self.cluster.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'public'::regnamespace",
            self.name,
        )
        return {
            table: sorted(
                self.cluster.execute(f'SELECT t::text FROM "{table}" t', self.name)  # noqa: S608
            )
            for (table,) in tables
        }


@pytest.fixture(scope="module")
def started(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database on which a server has started once."""
    name = "started"
    cluster.execute(f"CREATE DATABASE {name}")
    with deployed_server(cluster, name, tmp_path_factory.mktemp("started"), mlflow_workers=1):
        return name


@pytest.fixture
def target(cluster: Cluster, started: str, tmp_path: Path) -> Target:
    name = f"target_{uuid.uuid4().hex}"
    cluster.execute(f"CREATE DATABASE {name} TEMPLATE {started}")
    (tmp_path / "host").mkdir()
    return Target(cluster, name, installed(cluster, name, tmp_path / "host"), tmp_path)
