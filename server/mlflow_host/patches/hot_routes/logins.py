"""Permissions for hot routes: remembered from MLflow's own decisions, and proved by each statement.

MLflow itself decides about a user's first request. What the decision rests on is summed up in a
digest, the proof: the user's row with the hash of the password, and the grants that match the
experiment. Each statement computes the proof again and does nothing if it differs. So a changed
password, a deleted user and a revoked permission count from the next request on, and the hot way
asks no question and hashes no password for it.

Passwords are not kept. A login is found by a keyed digest of its header field, with a key that
each process draws.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import anyio.to_thread
from werkzeug.datastructures import Authorization
from werkzeug.security import check_password_hash

from mlflow_host.patches.hot_routes.database import RefusedError, UnknownOutcomeError
from mlflow_host.patches.hot_routes.statements import Statement

if TYPE_CHECKING:
    from collections.abc import Hashable

    from mlflow_host.patches.hot_routes.database import Database

# Then MLflow decides again. Revocations do not wait for it: they count at once.
SECONDS = 60.0
MOST_LOGINS = 1024
MOST_EXPERIMENTS = 256
MOST_RUNS = 4096

# The proof of the user `u` for an experiment. Administrators need no grants.
_PROOF = """encode(sha256(convert_to(json_build_array(
    u.id, u.username, u.password_hash, u.is_admin, CASE WHEN u.is_admin THEN NULL ELSE (
        SELECT json_agg(json_build_array(
            a.id, p.id, o.workspace, p.resource_type, p.resource_pattern, p.permission
        ) ORDER BY a.id, p.id)
        FROM user_role_assignments a
        JOIN roles o ON o.id = a.role_id
        JOIN role_permissions p ON p.role_id = o.id
        WHERE a.user_id = u.id AND p.resource_pattern IN ('*', {experiment}::text)
    ) END)::text, 'UTF8')), 'hex')"""
_ASK = """
SELECT u.password_hash, u.is_admin, t.experiment_id, {proof}
FROM users u, {table} t WHERE u.username = %(username)s AND t.{column} = {target}"""
ASK_RUN = Statement(
    _ASK.format(
        proof=_PROOF.format(experiment="t.experiment_id"),
        table="runs",
        column="run_uuid",
        target="%(run)s",
    )
)
ASK_EXPERIMENT = Statement(
    _ASK.format(
        proof=_PROOF.format(experiment="t.experiment_id"),
        table="experiments",
        column="experiment_id",
        target="%(experiment)s",
    )
)


def allowed(experiment: str) -> str:
    """Return the condition of SQL under which a ticket is valid for an experiment's column."""
    return f"""(%(experiment)s IS NULL OR {experiment} = %(experiment)s)
    AND EXISTS (SELECT FROM users u
        WHERE u.username = %(username)s AND {_PROOF.format(experiment=experiment)} = %(proof)s)"""


@dataclass(frozen=True)
class Ticket:
    """What a statement proves: a user, and for which experiment; None for all of them."""

    username: str
    proof: str
    experiment: int | None

    def values(self) -> dict[str, Any]:
        """Return the values of `allowed`."""
        return {
            "username": self.username,
            "proof": self.proof,
            "experiment": self.experiment,
        }


K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The latest items of a mapping, for several threads."""

    def __init__(self, most: int) -> None:
        """Keep at most that many."""
        self._most = most
        self._items: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def get(self, key: K) -> V | None:
        """Return an item, which is the latest from now on."""
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
            return self._items.get(key)

    def put(self, key: K, value: V) -> None:
        """Keep an item instead of the oldest."""
        with self._lock:
            self._items[key] = value
            self._items.move_to_end(key)
            while len(self._items) > self._most:
                self._items.popitem(last=False)

    def drop(self, key: K) -> None:
        """Keep an item no longer."""
        with self._lock:
            self._items.pop(key, None)


@dataclass
class Login:
    """A user name and a password that were right.

    Attributes
    ----------
    username
        The user.
    password_hash
        The hash that the password was compared with.
    proofs
        Proof and end of its time, by kind of access and experiment; None for administrators.
    """

    username: str
    password_hash: str
    proofs: Recent[tuple[str, int] | None, tuple[str, float]] = field(
        default_factory=lambda: Recent(MOST_EXPERIMENTS)
    )


@dataclass(frozen=True)
class Target:
    """What a request is about: a run, or an experiment for a run that is to be created.

    Attributes
    ----------
    access
        Kind of access, as far as MLflow's permissions differ.
    run, experiment
        One of the two.
    """

    access: str
    run: str = ""
    experiment: int = -1


@dataclass(frozen=True)
class Lesson:
    """What was the case before MLflow decided about a request."""

    key: bytes
    username: str
    password: str = field(repr=False)
    target: Target
    row: tuple[Any, ...]


class Logins:
    """The logins that a worker knows."""

    def __init__(self, database: Database) -> None:
        """Know none yet."""
        self._database = database
        self._key = secrets.token_bytes(32)
        self._logins: Recent[bytes, Login] = Recent(MOST_LOGINS)
        # A run's experiment never changes, and each statement compares it.
        self._experiments: Recent[str, int] = Recent(MOST_RUNS)
        self._learning: set[bytes] = set()
        self._lock = Lock()

    def ticket(self, header: bytes, target: Target) -> Ticket | None:
        """Return what allows a request as far as is known, None if MLflow has to decide."""
        login = self._logins.get(self._digest(header))
        if login is None:
            return None
        known = login.proofs.get(None)
        experiment = None
        if known is None:
            experiment = self._experiments.get(target.run) if target.run else target.experiment
            if experiment is None:
                return None
            known = login.proofs.get((target.access, experiment))
        if known is None or known[1] < time.monotonic():
            return None
        return Ticket(login.username, known[0], experiment)

    def note_run(self, run: str, experiment: int) -> None:
        """Remember the experiment of a run."""
        self._experiments.put(run, experiment)

    def forget(self, header: bytes, target: Target, ticket: Ticket) -> None:
        """Let MLflow decide about the next request of this kind."""
        login = self._logins.get(self._digest(header))
        if login:
            login.proofs.drop(
                None if ticket.experiment is None else (target.access, ticket.experiment)
            )

    async def begin(self, header: bytes, target: Target) -> Lesson | None:
        """Note what is the case before MLflow decides, None if there is nothing to learn."""
        key = self._digest(header)
        with self._lock:
            if key in self._learning:
                return None
            self._learning.add(key)
        lesson = None
        try:
            lesson = await self._ask(key, header, target)
        finally:
            if lesson is None:
                self.end(key)
        return lesson

    async def _ask(self, key: bytes, header: bytes, target: Target) -> Lesson | None:
        login = Authorization.from_header(header.decode("latin-1"))
        if login is None or login.type != "basic":
            return None
        username, password = login.username, login.password
        if username is None or password is None:
            return None
        row = await self._row(username, target)
        return Lesson(key, username, password, target, row) if row else None

    async def finish(self, lesson: Lesson) -> None:
        """Remember that MLflow has allowed a request, unless anything has changed meanwhile."""
        row = await self._row(lesson.username, lesson.target)
        if row != lesson.row:
            return
        password_hash, is_admin, experiment, proof = row
        login = self._logins.get(lesson.key)
        if login is None or login.password_hash != password_hash:
            # Hashing takes a tenth of a second.
            is_right = await anyio.to_thread.run_sync(
                check_password_hash, password_hash, lesson.password
            )
            if not is_right:
                return
            login = Login(lesson.username, password_hash)
        end = time.monotonic() + SECONDS
        login.proofs.put(None if is_admin else (lesson.target.access, experiment), (proof, end))
        if lesson.target.run:
            self.note_run(lesson.target.run, experiment)
        self._logins.put(lesson.key, login)

    def end(self, key: bytes) -> None:
        """Let the next request of a login be learned from."""
        with self._lock:
            self._learning.discard(key)

    async def _row(self, username: str, target: Target) -> tuple[Any, ...] | None:
        statement = ASK_RUN if target.run else ASK_EXPERIMENT
        values = {"username": username, "run": target.run, "experiment": target.experiment}
        try:
            return await self._database.first(statement, values)
        except (RefusedError, UnknownOutcomeError):
            return None

    def _digest(self, header: bytes) -> bytes:
        return hmac.digest(self._key, header, hashlib.sha256)
