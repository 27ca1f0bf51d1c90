"""The tracking server: asked before anything expensive begins, and waited for when it is away."""

from __future__ import annotations

import base64
import os
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import requests

from football import interruption
from football.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PATIENCE = "FOOTBALL_PATIENCE_SECONDS"
_EXPORT = "set -a; . .deploy/<deployment>/mlflow.env; set +a"
_CONNECT_SECONDS, _ANSWER_SECONDS = 3, 15
_PAUSE_SECONDS = 0.5
_PATIENCE_WHEN_INTERRUPTED = 15

T = TypeVar("T")


def patiently(ask: Callable[[], T], done: Callable[[], T | None] | None = None) -> T:
    """Ask the server; while it is away, wait and ask again.

    MLflow's client would repeat a request by itself, and make twice what the server had made
    before it went away. `settle` keeps it from that.

    Parameters
    ----------
    ask
        Asks the server, through MLflow's client.
    done
        Looks whether an earlier attempt was successful after all, and returns what it gave; needed
        where asking twice makes two.

    Raises
    ------
    mlflow.exceptions.MlflowException
        If the server refuses, or is away for longer than FOOTBALL_PATIENCE_SECONDS.
    """
    from mlflow import MlflowException  # noqa: PLC0415 -- takes seconds; to check needs none of it

    deadline = time.monotonic() + float(os.environ.get(PATIENCE, "300"))
    again = hurried = False
    while True:
        try:
            if again and done is not None and (found := done()) is not None:
                return found
            return ask()
        except MlflowException as error:
            # Of what its client cannot reach MLflow's exception tells nothing but the text.
            away = str(error).startswith("API request to http")
            if not away or time.monotonic() > deadline:
                raise
        if interruption.due() and not hurried:
            hurried = True
            deadline = min(deadline, time.monotonic() + _PATIENCE_WHEN_INTERRUPTED)
        again = True
        time.sleep(_PAUSE_SECONDS)


def settle() -> None:
    """Set up MLflow's client in this process, before it is imported."""
    # Clients need not tell MLflow's makers what they do, and programs here print the address.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"


def check_server(environment: Mapping[str, str]) -> None:
    """See that the server of the environment is there and lets this user in.

    Raises
    ------
    BadInputError
        If it is not named, cannot be reached or trusted, or refuses.
    """
    uri = environment.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        raise BadInputError(f"MLFLOW_TRACKING_URI is not set: export mlflow.env first ({_EXPORT})")
    if not uri.startswith(("http://", "https://")):
        raise BadInputError(
            f"MLFLOW_TRACKING_URI is {uri!r}, which is no http(s) address: export mlflow.env first "
            f"({_EXPORT})"
        )
    certificate = environment.get("MLFLOW_TRACKING_SERVER_CERT_PATH", "")
    if certificate and not Path(certificate).is_file():
        raise BadInputError(
            f"MLFLOW_TRACKING_SERVER_CERT_PATH is {certificate!r}, which is no file: export "
            f"mlflow.env again ({_EXPORT})"
        )
    user = environment.get("MLFLOW_TRACKING_USERNAME", "")
    login = f"{user}:{environment.get('MLFLOW_TRACKING_PASSWORD', '')}".encode()

    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
        return request

    try:
        answer = requests.get(
            f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search",
            params={"max_results": 1},
            auth=sign if user else None,
            verify=certificate or True,
            timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS),
        )
    except requests.exceptions.SSLError:
        raise BadInputError(
            f"{uri} shows a certificate that is not trusted: set MLFLOW_TRACKING_SERVER_CERT_PATH "
            f"to the deployment's ca.pem, as mlflow.env does ({_EXPORT})"
        ) from None
    except requests.exceptions.ConnectionError:
        raise BadInputError(
            f"{uri} cannot be reached: see that the deployment is up (make up) and that your "
            "address is among its allowed_cidrs"
        ) from None
    except requests.exceptions.Timeout:
        raise BadInputError(
            f"{uri} does not answer: see on the host how it is (systemctl status mlflow)"
        ) from None
    except requests.exceptions.RequestException as error:
        raise BadInputError(f"MLFLOW_TRACKING_URI is {uri!r}: {error}") from None
    _check_answer(answer, uri, user)


def _check_answer(answer: requests.Response, uri: str, user: str) -> None:
    """See what the server's answer means."""
    if answer.ok and answer.headers.get("Content-Type", "").startswith("application/json"):
        return
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        who = f"user {user!r} with this password" if user else "anyone without a login"
        raise BadInputError(
            f"{uri} does not let in {who}: set MLFLOW_TRACKING_USERNAME and "
            f"MLFLOW_TRACKING_PASSWORD as mlflow.env does ({_EXPORT})"
        )
    if answer.status_code == HTTPStatus.FORBIDDEN:
        raise BadInputError(
            f"{uri} forbids it: use the address of mlflow.env and a user that may log "
            f"({answer.text.strip()[:200]})"
        )
    if answer.ok or answer.status_code == HTTPStatus.NOT_FOUND:
        raise BadInputError(
            f"{uri} is no tracking server of MLflow: use the address of mlflow.env ({_EXPORT})"
        )
    raise BadInputError(
        f"{uri} answers {answer.status_code} {answer.reason}: see on the host why "
        "(journalctl -u mlflow)"
    )
