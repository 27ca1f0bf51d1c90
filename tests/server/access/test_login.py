"""MLflow's own login guards Flask's and FastAPI's routes, and answers 401 to anything else."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from tests.tracking_server import ADMIN, ADMIN_PASSWORD, basic

from .conftest import PASSWORD

if TYPE_CHECKING:
    from .conftest import Tracking

FLASK = "/api/2.0/mlflow/experiments/get?experiment_id=0"
NATIVE = {
    "artifact": ("GET", "/api/2.0/mlflow-artifacts/artifacts/0/x"),
    "traces": ("POST", "/v1/traces"),
    "jobs": ("GET", "/ajax-api/3.0/jobs/1"),
    "gateway": ("GET", "/gateway/mlflow/v1/models"),
    "mcp": ("GET", "/api/3.0/mlflow/mcp-servers"),
}


def encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


NO_LOGINS = {
    "none": "",
    "bearer": "Bearer eyJhbGciOiJIUzI1NiJ9",
    "digest": 'Digest username="admin", realm="mlflow", nonce="1", uri="/", response="2"',
    "negotiate": "Negotiate YII=",
    "scheme only": "Basic",
    "not base64": "Basic !!!",
    "not UTF-8": f"Basic {encoded(bytes([255, 254, 58, 255]))}",
    "without colon": f"Basic {encoded(ADMIN.encode())}",
    "empty": f"Basic {encoded(b':')}",
    "NUL": f"Basic {encoded(b'a' + bytes(1) + b':b')}",
    "NUL in password": f"Basic {encoded(ADMIN.encode() + b':b' + bytes(1))}",
    "wrong password": basic(ADMIN, "wrong"),
    "unknown user": basic("nobody", ADMIN_PASSWORD),
    "token": "mlflow-token",
    "two logins": f"{basic(ADMIN, ADMIN_PASSWORD)}, {basic(ADMIN, ADMIN_PASSWORD)}",
}


@pytest.mark.parametrize("header", NO_LOGINS.values(), ids=NO_LOGINS)
def test_flask_route_without_login_answers_401(tracking: Tracking, header: str) -> None:
    session = tracking.server.session(header or "-")
    if not header:
        del session.headers["Authorization"]
    answer = session.get(tracking.server.url + FLASK)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="mlflow"'
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("header", NO_LOGINS.values(), ids=NO_LOGINS)
@pytest.mark.parametrize(("method", "path"), NATIVE.values(), ids=NATIVE)
def test_native_route_without_login_answers_401(
    tracking: Tracking, method: str, path: str, header: str
) -> None:
    session = tracking.server.session(header or "-")
    if not header:
        del session.headers["Authorization"]
    answer = session.request(method, tracking.server.url + path)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="mlflow"'
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(("method", "path"), NATIVE.values(), ids=NATIVE)
def test_native_route_with_login_answers(tracking: Tracking, method: str, path: str) -> None:
    answer = tracking.server.session().request(method, tracking.server.url + path)
    assert answer.status_code not in {401, 403, 500}


@pytest.mark.parametrize("path", ["/health", "/version", "/api/3.0/mlflow/server-info"])
def test_public_route_ignores_other_schemes(tracking: Tracking, path: str) -> None:
    url = tracking.server.url + path
    session = tracking.server.session("-")
    del session.headers["Authorization"]
    answers = {
        session.get(url, headers=headers).status_code
        for headers in ({}, {"Authorization": "Bearer x"})
    }
    assert len(answers) == 1
    assert answers <= {200, 401}


def test_current_user_is_told_of_basic_login(tracking: Tracking) -> None:
    answer = tracking.admin("GET", "2.0/mlflow/users/current")
    assert answer["is_basic_auth"] is True
    assert answer["user"]["username"] == ADMIN


def test_gateway_prefers_mlflow_s_own_header(tracking: Tracking) -> None:
    session = tracking.server.session("Bearer key-of-a-provider")
    url = f"{tracking.server.url}/gateway/mlflow/v1/models"
    assert session.get(url).status_code == 401
    session.headers["X-MLflow-Authorization"] = basic(ADMIN, ADMIN_PASSWORD)
    assert session.get(url).status_code == 200


def test_gateway_refuses_reader_in_mlflow_s_own_header(tracking: Tracking) -> None:
    # A user of its own: workers remember for a minute whether a user is an administrator.
    user = "reader-of-the-gateway"
    tracking.module("mlflow_user", name=user, password=PASSWORD, admin=True)
    tracking.read_only(user)
    session = tracking.server.session("Bearer key-of-a-provider")
    session.headers["X-MLflow-Authorization"] = basic(user, PASSWORD)
    url = f"{tracking.server.url}/gateway/openai/v1/chat/completions"
    answer = session.post(url, json={"model": "x", "messages": []})
    tracking.read_only()
    assert (answer.status_code, answer.text) == (403, "This user may only read")
