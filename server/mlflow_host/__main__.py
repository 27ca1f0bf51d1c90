"""The commands of the program that runs MLflow on its host.

heads, plan, apply, import-plan, import and export are used by Ansible; patches by operators and by
serve; serve and ready by mlflow.service; watch by mlflow-watch.service; collect-garbage by
mlflow-gc.service.

MLflow takes seconds to import, and most commands do without it. So the modules of this package,
those of `patches` apart, import MLflow and its libraries in the functions that use them.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path

from mlflow_host import fences, garbage, health, keys, schema, server
from mlflow_host.database import log_in_as
from mlflow_host.settings import secret

logger = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> None:
    """Run one command."""
    options = parser().parse_args(arguments)
    try:
        run(options)
    except ConnectionError as error:
        sys.exit(str(error))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(description="Run MLflow's tracking server on this host.")
    commands = result.add_subparsers(dest="command", required=True)
    commands.add_parser("heads", help="record the schema revisions of the installed version")
    commands.add_parser("patches", help="print which patches fit the installed version, as JSON")

    command = commands.add_parser("plan", help="print what the database lacks, as JSON")
    _add_admin(command)
    command = commands.add_parser("apply", help="add to the database what it lacks")
    _add_admin(command)
    _add_owner(command)
    command.add_argument(
        "--discard-unreadable", action="store_true", help="give up secrets that no key fits"
    )

    command = commands.add_parser(
        "import-plan", help="migrate a file of SQLite, and print what an import of it would do"
    )
    _add_source(command)
    command = commands.add_parser("import", help="write all rows of a file of SQLite, or none")
    _add_source(command)
    command = commands.add_parser("export", help="write all rows to a new file of SQLite")
    _add_owner(command)
    command.add_argument("--file", required=True, type=Path)

    command = commands.add_parser("serve", help="serve until SIGTERM")
    command.add_argument("--workers", type=int, required=True)
    command.add_argument("--metrics-port", type=int, default=0, help="0 serves no metrics")
    command = commands.add_parser("ready", help="wait until the server answers")
    _add_admin(command)
    command.add_argument("--timeout", type=float, required=True, metavar="SECONDS")
    command = commands.add_parser("watch", help="fail if the server hangs")
    _add_admin(command)
    command.add_argument("--attempts", type=int, default=3)
    command = commands.add_parser(
        "collect-garbage", help="permanently delete what was deleted some time ago"
    )
    _add_admin(command)
    command.add_argument("--older-than", required=True, metavar="TIME", help="like 30d or 12h")
    return result


def _add_admin(command: argparse.ArgumentParser) -> None:
    command.add_argument("--admin", required=True, metavar="USERNAME")


def _add_owner(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--owner",
        required=True,
        metavar="ROLE",
        help="database role that owns the tables; its password is read from standard input",
    )


def _add_source(command: argparse.ArgumentParser) -> None:
    _add_owner(command)
    command.add_argument("--database", required=True, type=Path, metavar="FILE")
    command.add_argument(
        "--root", action="append", default=[], help="a folder of artifacts, as the file names it"
    )


def run(options: argparse.Namespace) -> None:
    """Run the chosen command."""
    match options.command:
        case "heads":
            schema.write_heads()
        case "patches":
            print(json.dumps(fences.breaches()))
        case "plan" | "apply":
            run_plan(options)
        case "import-plan" | "import" | "export":
            run_transfer(options)
        case "serve":
            server.serve(options.workers, options.metrics_port)
        case "ready":
            health.ready(options.admin, options.timeout)
        case "watch":
            try:
                health.watch(options.admin, options.attempts)
            except ConnectionError as error:
                logger.warning("%s", error)
        case "collect-garbage":
            garbage.collect_garbage(options.admin, options.older_than)


def run_plan(options: argparse.Namespace) -> None:
    """Print what the database lacks; `apply` adds it."""
    password = secret("admin-password")
    if options.command == "apply":
        keys.hand_over()
        log_in_as(options.owner, sys.stdin.readline().rstrip("\n"))
    plan = schema.make_plan(options.admin, password)
    if options.command == "apply":
        schema.apply_plan(plan, options.admin, password, discard=options.discard_unreadable)
    print(json.dumps(asdict(plan) | {"differs": plan.differs}))


def run_transfer(options: argparse.Namespace) -> None:
    """Print what an import would do, or did, or how many rows of each table were exported."""
    from sqlalchemy.exc import DBAPIError

    from mlflow_host.transfer import tables
    from mlflow_host.transfer.sqlite_copy import DifferentError

    log_in_as(options.owner, sys.stdin.readline().rstrip("\n"))
    try:
        if options.command == "export":
            print(json.dumps(tables.export(options.file)))
            return
        tables.migrate(options.database)
        plan = tables.make_plan(options.database, options.root)
        if options.command == "import" and not plan.imported:
            tables.copy(options.database, plan)
    except DBAPIError as error:
        sys.exit(" ".join(str(error.orig).split()))
    except (OSError, ValueError, DifferentError) as error:
        sys.exit(str(error))
    print(json.dumps(asdict(plan)))


if __name__ == "__main__":
    main()
