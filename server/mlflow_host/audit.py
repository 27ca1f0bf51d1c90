"""Write the audit trail: who did what to which object, with what result.

Each record is a line of JSON at the end of a file that the service is allowed to append to and not
to read, and a copy in the journal. A record that cannot be written does not stop the service; the
server's log says so. docs/audit.md lists the fields.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# The path of the audit file. An empty value disables the audit trail.
FILE = "MLFLOW_HOST_AUDIT"
READS = "MLFLOW_HOST_AUDIT_READS"
IDENTIFIER = "mlflow-audit"
JOURNAL = "/run/systemd/journal/socket"
# Longer names and lists are cut.
LONGEST = 256
MOST = 100
# What names an object in a request or an answer. A field that is not listed is not recorded, so
# neither values nor secrets are.
OBJECTS = frozenset({
    "alias", "artifact_path", "assessment_id", "budget_policy_id", "dataset_id",
    "dataset_record_ids", "endpoint_id", "endpoint_name", "experiment_id", "experiment_ids",
    "guardrail_id", "is_admin", "issue_id", "item_id", "item_ids", "job_id", "key",
    "model_definition_id", "model_id", "name", "new_name", "path", "permission", "queue_id",
    "request_id", "request_ids", "resource_id", "resource_pattern", "resource_type", "role",
    "role_id", "role_name", "run_id", "run_name", "run_uuid", "schema_id", "schema_ids",
    "scorer_id", "secret_id", "secret_name", "session_id", "source_run_id", "stage", "tag_key",
    "trace_id", "trace_ids", "user", "user_id", "username", "users", "version", "webhook_id",
    "workspace", "workspace_name",
})  # fmt: skip

logger = logging.getLogger(__name__)


def objects(*sources: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what names objects in the given mappings; the first source counts."""
    found: dict[str, Any] = {}
    for source in sources:
        for name in OBJECTS.intersection(source or ()):
            value = _short((source or {})[name])
            if value is not None:
                found.setdefault(name, value)
    return dict(sorted(found.items()))


def answered(content: Any) -> dict[str, Any]:
    """Return the ids and names in an answer, which name what a request has created.

    Only the three outer levels are read: what users have sent is further inside.
    """
    found: dict[str, Any] = {}
    level = [content]
    for _ in range(3):
        level = [mapping for mapping in level if isinstance(mapping, dict)]
        found = {**objects(*level), **found}
        level = [inner for mapping in level for inner in mapping.values()]
    return found


def result(status: int) -> str:
    """Return the result that a status of HTTP stands for."""
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return "denied"
    return "done" if status < HTTPStatus.BAD_REQUEST else "failed"


def _short(value: Any) -> Any:
    """Return a name, an id or a list of them, cut; None for anything else."""
    match value:
        case bool() | int():
            return value
        case str():
            return value if len(value) <= LONGEST else f"{value[:LONGEST]}…"
        case [*items]:
            names = [item for item in map(_short, items[:MOST]) if isinstance(item, str | int)]
            return [*names, "…"] if len(items) > MOST else names
    return None


@dataclass
class Trail:
    """The file and the journal, for one process."""

    path: Path
    journal: str = JOURNAL

    def __post_init__(self) -> None:
        """Open neither: a rotation, or a missing file, is found at each record."""
        self._lock = Lock()
        self._file = -1
        self._inode = (0, 0)
        self._is_cut = False
        self._socket: socket.socket | None = None

    def record(self, **fields: Any) -> None:
        """Append a record, and log why if that is not possible."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, **fields}, ensure_ascii=True)
        with self._lock:
            for write in (self._append, self._send):
                try:
                    write(line.encode())
                except OSError as error:
                    logger.error(  # noqa: TRY400  the reason is enough
                        "The audit trail lacks a record in %s: %s", write.__name__[1:], error
                    )

    def _append(self, line: bytes) -> None:
        self._reopen()
        # A record that was cut off by a full disk ends before the next one begins.
        left = b"\n" * self._is_cut + line + b"\n"
        while left:
            written = os.write(self._file, left)
            self._is_cut = written < len(left)
            left = left[written:]

    def _reopen(self) -> None:
        """Open the file, again after a rotation; while there is none, keep the former."""
        with suppress(FileNotFoundError):
            found = self.path.stat()
            if (found.st_dev, found.st_ino) == self._inode:
                return
        try:
            opened = os.open(
                self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError:
            if self._file < 0:
                raise
            return
        if self._file >= 0:
            os.close(self._file)
        found = os.fstat(opened)
        self._file, self._inode = opened, (found.st_dev, found.st_ino)

    def _send(self, line: bytes) -> None:
        """Send a copy to the journal, if this host has one.

        https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
        """
        if not Path(self.journal).exists():
            return
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            # The journal takes milliseconds; a journal that hangs must not stop the service.
            self._socket.settimeout(1)
        entry = f"SYSLOG_IDENTIFIER={IDENTIFIER}\nPRIORITY=6\nMESSAGE=".encode() + line + b"\n"
        self._socket.sendto(entry, self.journal)


def open_trail() -> Trail | None:
    """Return the trail that the settings name, None if it is off."""
    path = os.environ.get(FILE)
    return Trail(Path(path)) if path else None
