"""Run MLflow's tracking server on this host and keep its database in step with it.

MLflow's own command hands the backend's password and the session key to its workers through their
environments, where `ps auxe` shows them. Here the database's password stays in a libpq password
file, and the other secrets in files that each worker reads for itself; mlflow_keys.py says which.

Subcommands: heads, plan, apply (used by Ansible), serve and ready (used by mlflow.service), watch
(used by mlflow-watch.service), collect-garbage (used by mlflow-gc.service).
MLflow and the like are imported where they are used: they take seconds, and most subcommands do
without them.
"""
# ruff: noqa: INP001  Ansible copies this program to the host, it belongs to no package

from __future__ import annotations

import argparse
import base64
import ctypes
import gc
import http.client
import importlib
import importlib.util
import json
import logging
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import mlflow_fence
import mlflow_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import cursor as Cursor  # noqa: N812  as classes are named

HOST_DIRECTORY = Path(__file__).resolve().parent
SCHEMA_FILE = HOST_DIRECTORY / "schema.json"
VERSION_TABLES = {"tracking": "alembic_version", "auth": "alembic_version_auth"}
INDEX_NAME = "mlflow_latest_run"
INDEX_STATEMENT = (
    f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {INDEX_NAME}"
    " ON runs (experiment_id, start_time DESC, run_uuid) WHERE lifecycle_stage = 'active'"
)
# sysexits.h: the unit does not restart after it, because waiting cures nothing.
EX_CONFIG = 78

logger = logging.getLogger("mlflow_host")


@dataclass(frozen=True)
class Plan:
    """What the database lacks; an empty list means that nothing is to be done.

    Attributes
    ----------
    migrations
        Schemas ("tracking", "auth") that are not at the revision of this MLflow version.
    outdated
        Those of them that there are, at a revision of another MLflow version.
    index
        Whether the index over each experiment's latest run is to be built.
    admin
        "create" or "update" where the administrator's account differs, otherwise "keep".
    encrypt
        How many secrets are encrypted under another key than the newest.
    unreadable
        Secrets that none of the keys fits.
    """

    migrations: list[str]
    outdated: list[str]
    index: bool
    admin: str
    encrypt: int
    unreadable: list[str]

    @property
    def differs(self) -> bool:
        """Whether `apply` would change anything."""
        return bool(self.migrations or self.encrypt) or self.index or self.admin != "keep"


def setting(name: str) -> str:
    """Read a setting from the environment, or stop with the cure."""
    value = os.environ.get(name)
    if not value:
        sys.exit(f"{name} is not set: run this through mlflow.service, or with its environment")
    return value


def secret(name: str) -> str:
    """Read a secret from its file."""
    return (Path(setting("MLFLOW_HOST_SECRETS")) / name).read_text().strip()


def server_keys() -> mlflow_keys.Keys:
    """Read the keys of the server from their files."""
    return mlflow_keys.read(Path(setting("MLFLOW_HOST_SECRETS")))


def become_owner(name: str, password: str) -> None:
    """Log in to the database as the owner of its tables from now on."""
    address = urlsplit(setting("MLFLOW_BACKEND_STORE_URI"))
    server = address.netloc.rpartition("@")[2]
    # A password file that is named would go before this password.
    query = [pair for pair in parse_qsl(address.query) if pair[0] != "passfile"]
    owned = address._replace(netloc=f"{quote(name, safe='')}@{server}", query=urlencode(query))
    os.environ["MLFLOW_BACKEND_STORE_URI"] = urlunsplit(owned)
    # What a process sets for itself does not show in `ps auxe`.
    os.environ["PGPASSWORD"] = password


@contextmanager
def database() -> Iterator[Cursor]:
    """Open a connection of its own to MLflow's database, in autocommit mode."""
    psycopg2 = importlib.import_module("psycopg2")
    uri = re.sub(r"^postgresql\+psycopg2:", "postgresql:", setting("MLFLOW_BACKEND_STORE_URI"))
    try:
        connection = psycopg2.connect(uri)
    except psycopg2.OperationalError as error:
        raise ConnectionError(f"The database does not let us in: {error}") from error
    with closing(connection):
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def reach_database() -> None:
    """Raise ConnectionError if the database lets nobody in."""
    with database():
        pass


def first_row(cursor: Cursor, statement: str, *values: str) -> Any:
    """Return the first row, None without any."""
    cursor.execute(statement, values)
    return cursor.fetchone()


def expected_heads() -> dict[str, str]:
    """Return the schema revisions that this MLflow version speaks, as `heads` recorded them."""
    heads: dict[str, str] = json.loads(SCHEMA_FILE.read_text())
    return heads


def table_exists(cursor: Cursor, table: str) -> bool:
    """Say whether the table stands in the connection's search path."""
    return bool(first_row(cursor, "SELECT to_regclass(%s) IS NOT NULL", table)[0])


def actual_heads(cursor: Cursor) -> dict[str, str | None]:
    """Return the schema revisions found in the database; None where there is no schema yet."""
    found: dict[str, str | None] = {}
    for schema, table in VERSION_TABLES.items():
        row = None
        if table_exists(cursor, table):
            row = first_row(cursor, f"SELECT version_num FROM {table}")  # noqa: S608  a constant
        found[schema] = row[0] if row else None
    return found


def index_is_valid(cursor: Cursor) -> bool:
    """Say whether the index is there and was not left half-built."""
    row = first_row(
        cursor, "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", INDEX_NAME
    )
    return bool(row and row[0])


def admin_step(cursor: Cursor, username: str, password: str) -> str:
    """Compare the administrator's account with the wanted one: "create", "update" or "keep"."""
    if not table_exists(cursor, "users"):
        return "create"
    row = first_row(
        cursor, "SELECT password_hash, is_admin FROM users WHERE username = %s", username
    )
    if row is None:
        return "create"
    security = importlib.import_module("werkzeug.security")
    return "keep" if row[1] and security.check_password_hash(row[0], password) else "update"


def make_plan(username: str, password: str) -> Plan:
    """Compare the database with what this version and these settings want."""
    with database() as cursor:
        actual = actual_heads(cursor)
        wanted = expected_heads()
        migrations = [name for name, head in wanted.items() if actual[name] != head]
        secrets = mlflow_keys.review(cursor, server_keys())
        return Plan(
            migrations=migrations,
            outdated=[name for name in migrations if actual[name] is not None],
            index=not index_is_valid(cursor),
            admin=admin_step(cursor, username, password),
            encrypt=len(secrets.webhooks) + len(secrets.gateway),
            unreadable=secrets.unreadable,
        )


def write_heads() -> None:
    """Record which schema revisions the installed MLflow speaks."""
    tracking = importlib.import_module("mlflow.store.db.utils")
    auth = importlib.import_module("mlflow.server.auth.db.utils")
    scripts = importlib.import_module("alembic.script").ScriptDirectory
    heads = {
        "tracking": tracking._get_latest_schema_revision(),  # noqa: SLF001  nothing public says it
        "auth": scripts.from_config(auth._get_alembic_config("")).get_current_head(),  # noqa: SLF001  nothing public says it
    }
    temporary = SCHEMA_FILE.with_suffix(".new")
    temporary.write_text(json.dumps(heads, indent=2) + "\n")
    temporary.replace(SCHEMA_FILE)


def build_index() -> None:
    """Build the index without blocking writers; a half-built one is replaced."""
    with database() as cursor:
        if not index_is_valid(cursor):
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX_NAME}")
        cursor.execute(INDEX_STATEMENT)


def apply_plan(plan: Plan, username: str, password: str, *, discard: bool) -> None:
    """Bring schema, index, administrator and encrypted secrets to what is wanted."""
    uri = setting("MLFLOW_BACKEND_STORE_URI")
    if "tracking" in plan.migrations:
        # These private functions are what the server and `mlflow db upgrade` call; the command
        # itself wants the address among its arguments.
        utils = importlib.import_module("mlflow.store.db.utils")
        engine = utils.create_sqlalchemy_engine_with_retry(uri)
        fresh = not utils._all_tables_exist(engine)  # noqa: SLF001  see above
        migrate = utils._initialize_tables if fresh else utils._upgrade_db  # noqa: SLF001  see above
        migrate(engine)
        engine.dispose()
    if plan.index:
        build_index()
    if "auth" in plan.migrations or plan.admin != "keep":
        store = importlib.import_module("mlflow.server.auth.sqlalchemy_store").SqlAlchemyStore()
        store.init_db(uri)
        if store.has_user(username):
            store.update_user(username, password=password, is_admin=True)
        else:
            store.create_user(username, password, is_admin=True)
    if plan.encrypt or (discard and plan.unreadable):
        with database() as cursor:
            mlflow_keys.encrypt_again(cursor, server_keys(), discard=discard)


def wait_for_database() -> None:
    """Wait as long as it takes; MLflow itself gives up, and the worker with it."""
    while True:
        try:
            reach_database()
        except ConnectionError as error:
            logger.warning("%s", error)
            time.sleep(1)
        else:
            return


def end_with_parent() -> None:
    """Let the kernel end this worker when the process that it was forked from is killed.

    The supervisor learns of its workers from that process: without it, it starts new ones beside
    the old ones.
    """
    PR_SET_PDEATHSIG = 1  # noqa: N806  its name in linux/prctl.h
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def fork_workers() -> None:
    """Let uvicorn fork its workers from a process that has imported all they need.

    Started on its own, each worker would import it again, for seconds and in memory of its own.
    """
    # For the process that forks, which knows no other way.
    os.environ["PYTHONPATH"] = str(HOST_DIRECTORY)
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(["mlflow_preload"])
    # No setting of uvicorn's says how workers are started.
    vars(importlib.import_module("uvicorn._subprocess"))["spawn"] = forking


def create_app() -> Any:
    """Make the ASGI application; uvicorn calls this in each worker."""
    end_with_parent()
    configure_logging()
    # A worker that is still loading has no request to finish: SIGTERM ends it at once.
    finish_requests = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Again, for a worker that was not forked from the process that has imported all.
    mlflow_keys.hand_over()

    wait_for_database()
    auth = importlib.import_module("mlflow.server.auth")
    handlers = importlib.import_module("mlflow.server.handlers")
    uri = setting("MLFLOW_BACKEND_STORE_URI")
    handlers.initialize_backend_stores(uri, uri, setting("MLFLOW_DEFAULT_ARTIFACT_ROOT"))
    importlib.import_module("mlflow_destinations").limit()
    application = auth.create_app()
    answers = importlib.import_module("mlflow_json").write_fast(handlers, auth)
    tracking = importlib.import_module("mlflow.store.tracking.sqlalchemy_store")
    runs = importlib.import_module("mlflow_runs")
    runs.search_fast(tracking.SqlAlchemyStore)
    runs.answer_fast(auth.app, answers)
    importlib.import_module("mlflow_artifacts").stream_through(application, auth.app)
    importlib.import_module("mlflow_bridge").shorten(application, auth.app)
    importlib.import_module("mlflow_access").protect(application, auth.app, auth)
    importlib.import_module("mlflow_features").limit(auth.app)
    # What was loaded by now stays: the collector need not look through it at every turn.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    signal.signal(signal.SIGTERM, finish_requests)
    return application


def configure_logging() -> None:
    """Log one line per event; the journal adds time, process and unit."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")


def refuse_foreign_schema() -> None:
    """Stop unless the database has exactly the schema of this MLflow version."""
    with database() as cursor:
        actual = actual_heads(cursor)
    wanted = expected_heads()
    if actual != wanted:
        logger.error(
            "The database's schema is %s, this MLflow version speaks %s: run playbooks/upgrade.yml"
            " with the version that is wanted",
            actual,
            wanted,
        )
        sys.exit(EX_CONFIG)


def refuse_untested_release() -> None:
    """Stop if a patch that closes a hole was not made for this MLflow."""
    for fence in mlflow_fence.REQUIRED:
        if found := mlflow_fence.installed_breaches(fence):
            logger.error(
                "Patch %s is required and does not fit: %s. Install a release that it was tested"
                " with, or test it with this one and name it in mlflow_fence.py",
                fence.patch,
                "; ".join(found),
            )
            sys.exit(EX_CONFIG)


def clear_temporary_files() -> None:
    """Remove what a killed server left: parts of artifacts that may be large."""
    folder = os.environ.get("CACHE_DIRECTORY")
    for path in Path(folder).iterdir() if folder else []:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def serve_metrics(port: int) -> None:
    """Let the workers count, and serve the sums of all of them on loopback."""
    if importlib.util.find_spec("prometheus_flask_exporter") is None:
        logger.warning("No metrics: the lock of this version lacks prometheus-flask-exporter")
        return
    # The first name is MLflow's (mlflow/server/constants.py), the second the library's.
    os.environ["prometheus_multiproc_dir"] = setting("RUNTIME_DIRECTORY")  # noqa: SIM112  not ours to name
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = setting("RUNTIME_DIRECTORY")
    client = importlib.import_module("prometheus_client")
    registry = client.CollectorRegistry()
    importlib.import_module("prometheus_client.multiprocess").MultiProcessCollector(registry)
    client.start_http_server(port, addr="127.0.0.1", registry=registry)


def serve(workers: int, metrics_port: int) -> None:
    """Serve MLflow on loopback until SIGTERM; requests in flight end first."""
    configure_logging()
    refuse_untested_release()
    refuse_foreign_schema()
    clear_temporary_files()
    if metrics_port:
        serve_metrics(metrics_port)
    # What `mlflow server` hands to its workers (mlflow/server/constants.py).
    os.environ.update(
        {
            "_MLFLOW_SGI_NAME": "uvicorn",
            "_MLFLOW_SERVER_FILE_STORE": setting("MLFLOW_BACKEND_STORE_URI"),
            "_MLFLOW_SERVER_REGISTRY_STORE": setting("MLFLOW_BACKEND_STORE_URI"),
            "_MLFLOW_SERVER_ARTIFACT_ROOT": setting("MLFLOW_DEFAULT_ARTIFACT_ROOT"),
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": setting("MLFLOW_ARTIFACTS_DESTINATION"),
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            # The account was made by `apply`.
            "_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED": "true",
        }
    )
    fork_workers()
    importlib.import_module("uvicorn").run(
        "mlflow_host:create_app",
        factory=True,
        app_dir=str(HOST_DIRECTORY),
        host="127.0.0.1",
        port=int(setting("MLFLOW_PORT")),
        workers=workers,
        loop="uvloop",
        http="mlflow_http:Protocol",
        log_config=None,
        # The proxy in front writes the access log.
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=30,
        # A worker that is killed while it owes its supervisor an answer is missed after this time.
        timeout_worker_healthcheck=8,
    )


def probe(port: int, headers: dict[str, str]) -> str:
    """Ask the server a question that only the database can answer; "" means that it did."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(
            "POST",
            "/api/2.0/mlflow/experiments/search",
            body=json.dumps({"max_results": 1}),
            headers=headers | {"Content-Type": "application/json"},
        )
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return "" if response.status == http.HTTPStatus.OK else f"HTTP {response.status}"


def server_runs() -> bool:
    """Say whether the server's process is there: systemd waits for `ready` even when it is not."""
    # The sandbox hides other processes from /proc, but a signal finds them.
    try:
        os.kill(int(setting("MAINPID")), 0)
    except ProcessLookupError:
        return False
    return True


def login(username: str) -> dict[str, str]:
    """Return the headers of a request in this user's name."""
    token = base64.b64encode(f"{username}:{secret('admin-password')}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


def collect_garbage(username: str, older_than: str) -> None:
    """Delete for ever what was deleted longer ago than that (`30d`), artifacts included."""
    configure_logging()
    mlflow_keys.hand_over()
    refuse_foreign_schema()
    # The artifacts are deleted through the server. What a process sets for itself does not show in
    # `ps auxe`.
    os.environ["MLFLOW_TRACKING_USERNAME"] = username
    os.environ["MLFLOW_TRACKING_PASSWORD"] = secret("admin-password")
    os.environ["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{setting('MLFLOW_PORT')}"
    backend = ["--backend-store-uri", setting("MLFLOW_BACKEND_STORE_URI")]
    importlib.import_module("mlflow.cli").gc.main(
        args=["--older-than", older_than, *backend], prog_name="mlflow gc"
    )


def watch(username: str, attempts: int) -> None:
    """Fail if the server answers none of several questions while its database does."""
    configure_logging()
    port, headers = int(setting("MLFLOW_PORT")), login(username)
    for attempt in range(1, attempts + 1):
        reason = probe(port, headers)
        if not reason:
            return
        logger.warning("No answer from MLflow (%d of %d): %s", attempt, attempts, reason)
        # Without its database it cannot answer, and a restart would not help. This raises then.
        reach_database()
        time.sleep(2)
    sys.exit("MLflow hangs while its database answers")


def ready(username: str, timeout: float) -> None:
    """Wait until the server answers a real query, at most `timeout` seconds."""
    port, headers = int(setting("MLFLOW_PORT")), login(username)
    deadline = time.monotonic() + timeout
    while reason := probe(port, headers):
        if not server_runs():
            sys.exit("MLflow ended before it gave an answer")
        if time.monotonic() > deadline:
            sys.exit(f"MLflow gives no answer after {timeout:.0f} s: {reason}")
        time.sleep(0.2)


def main(arguments: list[str] | None = None) -> None:
    """Run one subcommand."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("heads", help="record the schema revisions of the installed version")
    for name, text in (
        ("plan", "print what the database lacks"),
        ("apply", "give the database what it lacks"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--admin", required=True, metavar="USERNAME")
    command.add_argument(
        "--owner",
        required=True,
        metavar="ROLE",
        help="database role that owns the tables; its password is read from standard input",
    )
    command.add_argument(
        "--discard-unreadable", action="store_true", help="give up secrets that no key fits"
    )
    command = commands.add_parser("serve", help="serve until SIGTERM")
    command.add_argument("--workers", type=int, required=True)
    command.add_argument("--metrics-port", type=int, default=0, help="0 serves no metrics")
    command = commands.add_parser("ready", help="wait until the server answers")
    command.add_argument("--admin", required=True, metavar="USERNAME")
    command.add_argument("--timeout", type=float, required=True, metavar="SECONDS")
    command = commands.add_parser("watch", help="fail if the server hangs")
    command.add_argument("--admin", required=True, metavar="USERNAME")
    command.add_argument("--attempts", type=int, default=3)
    command = commands.add_parser("collect-garbage", help="delete for ever what was deleted")
    command.add_argument("--admin", required=True, metavar="USERNAME")
    command.add_argument("--older-than", required=True, metavar="TIME", help="like 30d or 12h")
    options = parser.parse_args(arguments)

    try:
        run(options)
    except ConnectionError as error:
        sys.exit(str(error))


def run(options: argparse.Namespace) -> None:
    """Run the chosen subcommand."""
    match options.command:
        case "heads":
            write_heads()
        case "plan" | "apply":
            password = secret("admin-password")
            if options.command == "apply":
                mlflow_keys.hand_over()
                become_owner(options.owner, sys.stdin.readline().rstrip("\n"))
            plan = make_plan(options.admin, password)
            if options.command == "apply":
                apply_plan(plan, options.admin, password, discard=options.discard_unreadable)
            print(json.dumps(asdict(plan) | {"differs": plan.differs}))
        case "serve":
            serve(options.workers, options.metrics_port)
        case "ready":
            ready(options.admin, options.timeout)
        case "collect-garbage":
            collect_garbage(options.admin, options.older_than)
        case "watch":
            try:
                watch(options.admin, options.attempts)
            except ConnectionError as error:
                logger.warning("%s", error)


if __name__ == "__main__":
    main()
