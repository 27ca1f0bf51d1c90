"""The schema of a release, kept as SQL: MLflow's migrations take 6 s of a processor each time.

The first server of a release fills an empty database by the migrations, and what they made is
dumped; later ones load it. `mlflow_host` then applies what is still missing, as on a host.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from typing import TYPE_CHECKING

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Cluster

EMPTY = "SELECT count(*) = 0 FROM pg_tables WHERE schemaname = 'public'"


def is_empty(cluster: Cluster, database: str) -> bool:
    """Return whether a database has no tables."""
    return bool(cluster.execute(EMPTY, database)[0][0])


def load(cluster: Cluster, database: str, version: str) -> bool:
    """Fill an empty database with the schema of a release; return whether it was kept."""
    path = _path(version)
    if not path.exists():
        return False
    options = ("--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1")
    _run(cluster, database, "psql", *options, f"--file={path}")
    return True


def save(cluster: Cluster, database: str, version: str) -> None:
    """Keep the schema and the first rows of a database that its release has just made."""
    path = _path(version)
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    # Owner and privileges come from who loads it and from the role's defaults.
    _run(cluster, database, "pg_dump", "--no-owner", "--no-privileges", f"--file={temporary}")
    temporary.replace(path)


def _path(version: str) -> Path:
    """Return where the schema is kept, by what makes it."""
    digest = hashlib.sha256()
    for source in (
        ROOT / f"requirements/server/{version}.txt",
        ROOT / "server/mlflow_host/schema.py",
    ):
        digest.update(source.read_bytes())
    return ROOT / ".cache" / f"schema-{digest.hexdigest()[:16]}.sql"


def _run(cluster: Cluster, database: str, program: str, *options: str) -> None:
    address = (
        f"host=127.0.0.1 port={cluster.port} user=mlflow dbname={database}"
        f" sslmode=verify-full sslrootcert={cluster.ca_file}"
    )
    subprocess.run(
        [cluster.binaries / program, *options, f"--dbname={address}"],
        env=os.environ | {"PGPASSWORD": cluster.password},
        stdout=subprocess.DEVNULL,
        check=True,
    )
