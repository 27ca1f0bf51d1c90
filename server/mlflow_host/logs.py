"""Log JSON lines; a line that a request causes has the request's id.

docs/logs.md lists the fields.
"""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass
class Request:
    """A request that is being answered.

    Attributes
    ----------
    id
        The proxy's id of it, or one of the server's own.
    user
        Who is logged in; None before the login, and if there is none.
    action
        The name of the function that answers; None if Flask has none for it.
    objects
        Names and ids of what the request is about, as far as Flask knows them.
    """

    id: str
    user: str | None = None
    action: str | None = None
    objects: dict[str, Any] = field(default_factory=dict)


# Threads that answer a part of a request have it too: anyio copies the context.
current: ContextVar[Request | None] = ContextVar("current", default=None)


class JsonFormatter(logging.Formatter):
    """Write a record as a JSON object in one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if request := current.get():
            line["request_id"] = request.id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logging() -> None:
    """Log one JSON object per event; the journal adds process and unit."""
    handler = logging.StreamHandler()
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.captureWarnings(capture=True)
    use_json()


def use_json() -> None:
    """Make all handlers write JSON, those that MLflow adds while it is imported as well."""
    formatter = JsonFormatter()
    names = list(logging.root.manager.loggerDict)
    for logger in (logging.root, *map(logging.getLogger, names)):
        for handler in logger.handlers:
            handler.setFormatter(formatter)


def log_event(logger: logging.Logger, message: str, **fields: Any) -> None:
    """Log an event with fields of its own."""
    logger.info(message, extra={"fields": fields})
