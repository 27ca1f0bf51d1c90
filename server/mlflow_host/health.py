"""Ask the running server whether it works."""

from __future__ import annotations

import base64
import http.client
import json
import logging
import os
import sys
import time

from mlflow_host.database import check_connection
from mlflow_host.logs import configure_logging
from mlflow_host.settings import secret, setting

logger = logging.getLogger(__name__)


def ready(username: str, timeout: float) -> None:
    """Wait until the server answers a real query, at most `timeout` seconds."""
    port, headers = int(setting("MLFLOW_PORT")), _login(username)
    deadline = time.monotonic() + timeout
    while reason := _probe(port, headers):
        if not _server_runs():
            sys.exit("MLflow ended before it answered")
        if time.monotonic() > deadline:
            sys.exit(f"MLflow has not answered after {timeout:.0f} s: {reason}")
        time.sleep(0.2)


def watch(username: str, attempts: int) -> None:
    """Fail if the server answers none of several queries although its database answers.

    Raises
    ------
    ConnectionError
        If the database does not answer: the server cannot either, and a restart does not help.
    """
    configure_logging()
    port, headers = int(setting("MLFLOW_PORT")), _login(username)
    for attempt in range(1, attempts + 1):
        reason = _probe(port, headers)
        if not reason:
            return
        logger.warning("No answer from MLflow (%d of %d): %s", attempt, attempts, reason)
        check_connection()
        time.sleep(2)
    sys.exit("MLflow hangs while its database answers")


def _probe(port: int, headers: dict[str, str]) -> str:
    """Send a query that needs the database; return why it failed, "" if it was answered."""
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


def _server_runs() -> bool:
    """Return whether the server's process exists: systemd waits for `ready` even if it ended."""
    # The sandbox hides other processes in /proc, but a signal finds them.
    try:
        os.kill(int(setting("MAINPID")), 0)
    except ProcessLookupError:
        return False
    return True


def _login(username: str) -> dict[str, str]:
    token = base64.b64encode(f"{username}:{secret('admin-password')}".encode()).decode()
    return {"Authorization": f"Basic {token}"}
