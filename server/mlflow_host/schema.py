"""Bring the database to the schema, the index, the administrator and the keys of this release."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow_host import keys
from mlflow_host.database import connection, first_row, table_exists
from mlflow_host.settings import EX_CONFIG, PROGRAM, secrets_directory, setting

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812  as classes are named

# `heads` writes it once; to ask MLflow means to import it, for seconds.
SCHEMA_FILE = PROGRAM.with_name("schema.json")
VERSION_TABLES = {"tracking": "alembic_version", "auth": "alembic_version_auth"}
INDEX_NAME = "mlflow_latest_run"
INDEX_STATEMENT = (
    f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {INDEX_NAME}"
    " ON runs (experiment_id, start_time DESC, run_uuid) WHERE lifecycle_stage = 'active'"
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What the database lacks; an empty list means that nothing is to be done.

    Attributes
    ----------
    migrations
        Schemas ("tracking", "auth") that are not at the revision of this MLflow version.
    outdated
        Those of them that exist, at a revision of another MLflow version.
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


def write_heads() -> None:
    """Record the schema revisions of the installed MLflow."""
    from alembic.script import ScriptDirectory
    from mlflow.server.auth.db.utils import _get_alembic_config
    from mlflow.store.db.utils import _get_latest_schema_revision

    auth = ScriptDirectory.from_config(_get_alembic_config(""))
    heads = {"tracking": _get_latest_schema_revision(), "auth": auth.get_current_head()}
    temporary = SCHEMA_FILE.with_suffix(".new")
    temporary.write_text(json.dumps(heads, indent=2) + "\n")
    temporary.replace(SCHEMA_FILE)


def expected_heads() -> dict[str, str]:
    """Return the schema revisions of this MLflow version, as `heads` recorded them."""
    heads: dict[str, str] = json.loads(SCHEMA_FILE.read_text())
    return heads


def actual_heads(cursor: Cursor) -> dict[str, str | None]:
    """Return the schema revisions of the database, None for a schema that does not exist yet."""
    found: dict[str, str | None] = {}
    for schema, table in VERSION_TABLES.items():
        row = None
        if table_exists(cursor, table):
            row = first_row(cursor, f"SELECT version_num FROM {table}")  # noqa: S608  a constant
        found[schema] = row[0] if row else None
    return found


def refuse_other_schema() -> None:
    """Stop unless the database has exactly the schema of this MLflow version."""
    with connection() as cursor:
        actual = actual_heads(cursor)
    expected = expected_heads()
    if actual != expected:
        logger.error(
            "The schema of the database is %s, this MLflow version needs %s: run"
            " playbooks/upgrade.yml with the MLflow version that you need",
            actual,
            expected,
        )
        sys.exit(EX_CONFIG)


def make_plan(username: str, password: str) -> Plan:
    """Compare the database with this MLflow version and the settings."""
    with connection() as cursor:
        actual = actual_heads(cursor)
        migrations = [name for name, head in expected_heads().items() if actual[name] != head]
        secrets = keys.review(cursor, keys.read(secrets_directory()))
        return Plan(
            migrations=migrations,
            outdated=[name for name in migrations if actual[name] is not None],
            index=not _index_is_valid(cursor),
            admin=_admin_step(cursor, username, password),
            encrypt=len(secrets.webhooks) + len(secrets.gateway),
            unreadable=secrets.unreadable,
        )


def apply_plan(plan: Plan, username: str, password: str, *, discard: bool) -> None:
    """Bring schema, index, administrator and encrypted secrets to the planned state.

    Parameters
    ----------
    plan
        What differs.
    username, password
        The administrator's.
    discard
        Whether secrets that no key fits are given up.
    """
    if "tracking" in plan.migrations:
        _migrate()
    if plan.index:
        _build_index()
    if "auth" in plan.migrations or plan.admin != "keep":
        _set_admin(username, password)
    if plan.encrypt or (discard and plan.unreadable):
        with connection() as cursor:
            keys.encrypt_again(cursor, keys.read(secrets_directory()), discard=discard)


def _migrate() -> None:
    # The server and `mlflow db upgrade` call these private functions; the command itself takes the
    # address, and so the password, as an argument.
    from mlflow.store.db import utils

    engine = utils.create_sqlalchemy_engine_with_retry(setting("MLFLOW_BACKEND_STORE_URI"))
    is_empty = not utils._all_tables_exist(engine)  # noqa: SLF001
    migrate = utils._initialize_tables if is_empty else utils._upgrade_db  # noqa: SLF001
    migrate(engine)  # type: ignore[no-untyped-call]
    engine.dispose()


def _index_is_valid(cursor: Cursor) -> bool:
    """Return whether the index exists, and no interrupted build left it invalid."""
    row = first_row(
        cursor, "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", INDEX_NAME
    )
    return bool(row and row[0])


def _build_index() -> None:
    """Build the index without blocking writers; an invalid one is replaced."""
    with connection() as cursor:
        if not _index_is_valid(cursor):
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX_NAME}")
        cursor.execute(INDEX_STATEMENT)


def _admin_step(cursor: Cursor, username: str, password: str) -> str:
    """Compare the administrator's account with the settings: "create", "update" or "keep"."""
    from werkzeug.security import check_password_hash

    if not table_exists(cursor, "users"):
        return "create"
    row = first_row(
        cursor, "SELECT password_hash, is_admin FROM users WHERE username = %s", username
    )
    if row is None:
        return "create"
    password_hash, is_admin = row
    is_same = is_admin and check_password_hash(password_hash, password)
    return "keep" if is_same else "update"


def _set_admin(username: str, password: str) -> None:
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    store.init_db(setting("MLFLOW_BACKEND_STORE_URI"))
    if store.has_user(username):
        store.update_user(username, password=password, is_admin=True)
    else:
        store.create_user(username, password, is_admin=True)
