"""What RDS looks for in the databases before it upgrades them to another major version.

RDS upgrades with pg_upgrade, and runs checks of its own before. An instance that does not pass
them is available again with its former version; the reasons are in its log
``pg_upgrade_precheck.log``, here in local AWS's own.

Source:
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_UpgradeDBInstance.PostgreSQL.MajorVersion.Process.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local_aws.services.rds.postgres import Postgres

_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND datconnlimit <> -2;"
# Of the whole server; each statement counts.
_OF_SERVER = {
    "prepared transactions are open": "SELECT count(*) FROM pg_prepared_xacts;",
    "logical replication slots exist": (
        "SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical';"
    ),
    "invalid databases exist": "SELECT count(*) FROM pg_database WHERE datconnlimit = -2;",
}
_OF_DATABASE = {
    "columns have a reg* type that pg_upgrade cannot keep": """\
SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT a.attisdropped AND n.nspname NOT IN ('pg_catalog', 'information_schema')
AND a.atttypid IN ('regproc'::regtype, 'regprocedure'::regtype, 'regoper'::regtype,
  'regoperator'::regtype, 'regconfig'::regtype, 'regdictionary'::regtype);""",
}


def obstacles(postgres: Postgres) -> list[str]:
    """Return what keeps a running server from being upgraded; empty if nothing does."""
    found = [text for text, count in _OF_SERVER.items() if postgres.sql(count).strip() != "0"]
    for database in postgres.sql(_DATABASES).splitlines():
        found += [
            f"{text} in database {database}"
            for text, count in _OF_DATABASE.items()
            if postgres.sql(count, database).strip() != "0"
        ]
    return found
