"""Refuse at once what needs MLflow's jobs, which this server does not run (docs/features.md).

MLflow would create a run that never ends before it fails, or store a schedule that nothing follows,
and name a variable that does not help. Its client repeats its 500, but not 501.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Response, request

if TYPE_CHECKING:
    from mlflow_host.patches import Server

JOBS = re.compile(
    r"/(ajax-)?api/3\.0/?mlflow/"
    r"(genai/evaluate|issues/invoke|scorer/invoke|prompt-optimization/jobs)",
    re.ASCII,
)
SCHEDULES = re.compile(r"/(ajax-)?api/3\.0/mlflow/scorers/online-config", re.ASCII)
MESSAGE = (
    "This server runs no jobs: evaluate, score and optimize with MLflow's client instead, which"
    " logs the results here"
)


def _starts_schedule() -> bool:
    """Say whether traces are to be scored from now on; a rate of zero ends that."""
    body = request.get_json(silent=True)
    return isinstance(body, dict) and body.get("sample_rate") not in (0, None)


def refuse_jobs() -> Response | None:
    """Answer 501 to a request that would start a job, now or later, after MLflow's login."""
    if (request.method == "POST" and JOBS.fullmatch(request.path)) or (
        request.method == "PUT" and SCHEDULES.fullmatch(request.path) and _starts_schedule()
    ):
        return Response(
            json.dumps({"error_code": "NOT_IMPLEMENTED", "message": MESSAGE}),
            HTTPStatus.NOT_IMPLEMENTED,
            mimetype="application/json",
        )
    return None


def apply(server: Server) -> None:
    """Refuse such requests once MLflow's login is set up."""
    server.flask.before_request_funcs.setdefault(None, []).append(refuse_jobs)
