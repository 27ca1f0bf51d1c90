"""Keys that MLflow invents, or takes a public default for, when it is given none.

Each comes from a file of secrets that holds all keys there have been, the newest first, in lines.
MLflow gets the newest. What the database holds under another one, or under MLflow's public default,
is encrypted again under the newest by `apply`; so no key is lost to a rotation that was interrupted
or to a database that was restored from before one.
"""

from __future__ import annotations

import importlib
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg2.extensions import cursor as Cursor  # noqa: N812  as classes are named

WEBHOOK_KEYS = "webhook-keys"
GATEWAY_PASSPHRASES = "gateway-passphrases"


@dataclass(frozen=True)
class Keys:
    """The keys of the server, the newest first; none where a file is still to be written.

    Attributes
    ----------
    session
        What signs sessions and forms.
    webhook
        Fernet keys of the secrets of webhooks.
    gateway
        Passphrases of the keys that wrap the keys of the AI gateway's secrets.
    """

    session: Sequence[str]
    webhook: Sequence[str]
    gateway: Sequence[str]

    @property
    def gateway_version(self) -> int:
        """The number of the newest passphrase; 1 is that of MLflow's public default."""
        return len(self.gateway) + 1

    def environment(self) -> dict[str, str]:
        """Return the variables by which MLflow takes them."""
        return {
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self.session[0],
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": self.webhook[0],
            "MLFLOW_CRYPTO_KEK_PASSPHRASE": self.gateway[0],
            "MLFLOW_CRYPTO_KEK_VERSION": str(self.gateway_version),
        }


@dataclass
class Review:
    """Which secrets in the database are to be encrypted again.

    Attributes
    ----------
    webhooks
        The secrets of webhooks under the newest key, by the webhook's id.
    gateway
        The wrapped keys of the gateway's secrets under the newest passphrase, by the secret's id.
    lost_webhooks, lost_gateway
        Names of those that no key fits, by id.
    """

    webhooks: dict[str, str] = field(default_factory=dict)
    gateway: dict[str, bytes] = field(default_factory=dict)
    lost_webhooks: dict[str, str] = field(default_factory=dict)
    lost_gateway: dict[str, str] = field(default_factory=dict)

    @property
    def unreadable(self) -> list[str]:
        """What no key fits, as an operator knows it."""
        return [f"webhook {name}" for name in sorted(self.lost_webhooks.values())] + [
            f"gateway secret {name}" for name in sorted(self.lost_gateway.values())
        ]


def read(directory: Path) -> Keys:
    """Read the keys from the files of the secrets."""

    def lines(name: str) -> list[str]:
        try:
            return (directory / name).read_text().split()
        except FileNotFoundError:
            return []

    return Keys(lines("secret-key"), lines(WEBHOOK_KEYS), lines(GATEWAY_PASSPHRASES))


def hand_over() -> None:
    """Set the variables by which MLflow takes its keys; call this before MLflow is imported.

    What a process sets for itself does not show in `ps auxe`.
    """
    directory = Path(os.environ["MLFLOW_HOST_SECRETS"])
    keys = read(directory)
    if not (keys.session and keys.webhook and keys.gateway):
        raise FileNotFoundError(f"{directory} lacks keys of the server: run site.yml")
    os.environ.update(keys.environment())


def review(cursor: Cursor, keys: Keys) -> Review:
    """Compare what the database holds with the newest keys; PostgreSQL's tables may be missing."""
    found = Review()
    if keys.webhook and _exists(cursor, "webhooks"):
        _review_webhooks(cursor, keys.webhook, found)
    if keys.gateway and _exists(cursor, "secrets"):
        _review_gateway(cursor, keys, found)
    return found


def encrypt_again(cursor: Cursor, keys: Keys, *, discard: bool) -> Review:
    """Encrypt all secrets under the newest keys, or none of them; return what was done.

    Parameters
    ----------
    discard
        Switch webhooks off, and delete secrets of the gateway, that no key fits.
    """
    with _transaction(cursor):
        for table in ("webhooks", "secrets"):
            if _exists(cursor, table):
                # What is changed in between would be lost.
                cursor.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
        found = review(cursor, keys)
        for webhook, secret in found.webhooks.items():
            cursor.execute(
                "UPDATE webhooks SET secret = %s WHERE webhook_id = %s", (secret, webhook)
            )
        for secret, wrapped in found.gateway.items():
            cursor.execute(
                "UPDATE secrets SET wrapped_dek = %s, kek_version = %s WHERE secret_id = %s",
                (wrapped, keys.gateway_version, secret),
            )
        if discard:
            cursor.execute(
                "UPDATE webhooks SET secret = NULL, status = 'DISABLED' WHERE webhook_id = ANY(%s)",
                (list(found.lost_webhooks),),
            )
            cursor.execute(
                "DELETE FROM secrets WHERE secret_id = ANY(%s)", (list(found.lost_gateway),)
            )
    return found


@contextmanager
def _transaction(cursor: Cursor) -> Iterator[None]:
    """Do all or nothing on a connection that is in autocommit mode."""
    cursor.execute("BEGIN")
    try:
        yield
    except BaseException:
        cursor.execute("ROLLBACK")
        raise
    cursor.execute("COMMIT")


def _exists(cursor: Cursor, table: str) -> bool:
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (table,))
    row = cursor.fetchone()
    return bool(row and row[0])


def _review_webhooks(cursor: Cursor, keys: Sequence[str], found: Review) -> None:
    """Look at the secrets of webhooks; deleted ones are not missed."""
    cursor.execute(
        "SELECT webhook_id, name, secret, deleted_timestamp IS NOT NULL FROM webhooks"
        " WHERE secret IS NOT NULL"
    )
    rows = cursor.fetchall()
    if not rows:
        return
    fernet = importlib.import_module("cryptography.fernet")
    newest = fernet.Fernet(keys[0])
    every = fernet.MultiFernet([fernet.Fernet(key) for key in keys])
    for webhook, name, secret, deleted in rows:
        try:
            newest.decrypt(secret.encode())
        except fernet.InvalidToken:
            try:
                found.webhooks[webhook] = every.rotate(secret.encode()).decode()
            except fernet.InvalidToken:
                if not deleted:
                    found.lost_webhooks[webhook] = name


def _review_gateway(cursor: Cursor, keys: Keys, found: Review) -> None:
    """Look at the secrets of the gateway."""
    cursor.execute("SELECT secret_id, secret_name, wrapped_dek, kek_version FROM secrets")
    rows = cursor.fetchall()
    if not rows:
        return
    crypto = importlib.import_module("mlflow.utils.crypto")
    exceptions = importlib.import_module("mlflow.exceptions")
    # Each takes a fifth of a second to derive.
    managers: dict[tuple[str, int], Any] = {}

    def manager(passphrase: str, version: int) -> Any:
        known = (passphrase, version)
        if known not in managers:
            managers[known] = crypto.KEKManager(passphrase=passphrase, kek_version=version)
        return managers[known]

    newest = manager(keys.gateway[0], keys.gateway_version)
    for secret, name, wrapped, version in rows:
        for passphrase in (*keys.gateway, crypto.DEFAULT_KEK_PASSPHRASE):
            fitting = manager(passphrase, version)
            try:
                dek = crypto.unwrap_dek(bytes(wrapped), fitting.get_kek())
            except exceptions.MlflowException:
                continue
            if fitting is not newest:
                found.gateway[secret] = crypto.wrap_dek(dek, newest.get_kek())
            break
        else:
            found.lost_gateway[secret] = name
