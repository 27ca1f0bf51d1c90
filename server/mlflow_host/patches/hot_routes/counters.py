"""Count requests in the server's metrics, as if Flask had answered them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, request

from mlflow_host.patches.wsgi_bridge import make_environ

if TYPE_CHECKING:
    from flask import Flask
    from starlette.types import Scope

# The package whose hooks count Flask's requests, if the metrics are on.
PACKAGE = "prometheus_flask_exporter"


class Counters:
    """The hooks of the metrics."""

    def __init__(self, flask: Flask) -> None:
        """Find the hooks of an application."""
        self._flask = flask
        self._hooks = [
            hook
            for hook in flask.after_request_funcs.get(None, [])
            if hook.__module__.startswith(PACKAGE)
        ]

    def count(self, scope: Scope, started: float, status: int) -> None:
        """Count a request that was answered.

        Parameters
        ----------
        scope
            The request.
        started
            When it came, by `time.perf_counter`.
        status
            The answer's.
        """
        if not self._hooks:
            return
        with self._flask.request_context(make_environ(scope, [], b"")):
            request.prom_start_time = started  # type: ignore[attr-defined]  # the package's own
            for hook in self._hooks:
                hook(Response(status=status))
