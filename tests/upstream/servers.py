"""Start servers for MLflow's tests, which run in a process of their own.

python -m tests.upstream.servers KIND reads requests as lines of JSON, and answers each by a line:

- {"do": "fresh"}: the address of a server that has the rows of a new database;
- {"do": "serve", "port": 5000, "artifacts": "/folder", "environ": {}}: the address of a server of
  its own; port and folder may be missing;
- {"do": "stop", "url": "http://..."}: ends that server.

KIND is `stock`, `ours`, or `unpatched`: ours without the optional patches.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.postgres import Cluster, running_cluster
from tests.tracking_server import deployed_server, free_port, stock_server

KINDS = ("stock", "ours", "unpatched")
# MLflow's tests receive webhooks on loopback.
VARIABLES: dict[str, Any] = {"mlflow_allowed_destinations": ["127.0.0.0/8", "::1/128"]}
NAMES = "SELECT schemaname, quote_ident(tablename) FROM pg_tables"


class Servers:
    """The servers of one kind, each with a database of its own.

    Parameters
    ----------
    kind
        One of `KINDS`.
    """

    def __init__(self, kind: str, cluster: Cluster, folder: Path, stack: ExitStack) -> None:
        self.kind, self._cluster, self._folder, self._stack = kind, cluster, folder, stack
        self._running: dict[str, ExitStack] = {}
        self._count = 0
        self._kept = self._database = ""

    def do(self, request: dict[str, Any]) -> str:
        """Carry out a request; return an address."""
        wanted = request.pop("do")
        if wanted == "fresh":
            return self._fresh()
        if wanted == "serve":
            return self._serve(**request)
        self._running.pop(request["url"]).close()
        return str(request["url"])

    def _fresh(self) -> str:
        """Return the server that is kept, after its database was reset."""
        if not self._kept:
            database = self._database = f"database{self._count + 1}"
            self._kept = self._serve()
            self._cluster.execute("CREATE SCHEMA first", database)
            for table in self._tables(database, "public"):
                if self._cluster.execute(f"TABLE public.{table} LIMIT 1", database):
                    self._cluster.execute(
                        f"CREATE TABLE first.{table} AS TABLE public.{table}", database
                    )
            return self._kept
        rows = "".join(
            f"INSERT INTO public.{table} TABLE first.{table};"
            for table in self._tables(self._database, "first")
        )
        names = ", ".join(f"public.{table}" for table in self._tables(self._database, "public"))
        # Rows are copied in no order that foreign keys would allow.
        self._cluster.execute(
            f"BEGIN; SET LOCAL session_replication_role = replica; TRUNCATE {names}"
            f" RESTART IDENTITY; {rows} COMMIT",
            self._database,
        )
        return self._kept

    def _tables(self, database: str, schema: str) -> list[str]:
        found = self._cluster.execute(NAMES, database)
        return [name for place, name in found if place == schema]

    def _serve(
        self, port: int = 0, artifacts: str = "", environ: dict[str, str] | None = None
    ) -> str:
        """Start a server; return its address."""
        self._count += 1
        database = f"database{self._count}"
        directory = self._folder / database
        directory.mkdir()
        self._cluster.execute(f"CREATE DATABASE {database}")
        stack = self._stack.enter_context(ExitStack())
        server = stack.enter_context(
            self._server(database, directory, environ or {}, port or free_port(), artifacts)
        )
        self._running[server.url] = stack
        return server.url

    def _server(
        self, database: str, directory: Path, environ: dict[str, str], port: int, artifacts: str
    ) -> Any:
        if self.kind == "stock":
            return stock_server(
                self._cluster, database, directory, environ, port=port, artifacts=artifacts
            )
        variables = {
            **VARIABLES,
            "mlflow_port": port,
            "mlflow_public_urls": [f"http://127.0.0.1:{port}", f"http://localhost:{port}"],
            **({"mlflow_artifacts_destination": artifacts} if artifacts else {}),
            **({"mlflow_patches": []} if self.kind == "unpatched" else {}),
        }
        return deployed_server(self._cluster, database, directory, environ, **variables)


def main(kind: str) -> None:
    """Answer requests until there are no more."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = stack.enter_context(running_cluster(max_connections=300))
        servers = Servers(kind, cluster, folder, stack)
        for line in sys.stdin:
            print(json.dumps({"url": servers.do(json.loads(line))}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
