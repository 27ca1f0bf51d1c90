"""Requests to the tracking server through MLflow's client, repeated while the server is away."""

from __future__ import annotations

import inspect
import math
import os
import re
import ssl
import sys
import time
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from football import interruption
from football.errors import BadInputError, one_line, shown, why

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PATIENCE = "FOOTBALL_PATIENCE_SECONDS"
_STANDARD_PATIENCE = 300.0
_PAUSE_SECONDS = 0.5
_SILENT_SECONDS = 5
_PATIENCE_WHEN_INTERRUPTED = 15
# Answers that may be another one the next time.
_TRANSIENT = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
# What the server's database, or its storage, says when it is away.
_LOST_CONNECTION = re.compile("OperationalError|InterfaceError|connect|timed? ?out", re.IGNORECASE)
_NO_ANSWER = "API request to http"
_STATUS = re.compile(r"failed with error code (\d{3}) != \d+\. Response body: '(.*)'", re.DOTALL)

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


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
    requests.HTTPError
        The same, where artifacts are transferred.
    """
    from mlflow import MlflowException  # noqa: PLC0415 -- takes seconds; to check needs none of it

    _keep_answers()
    seconds = patience(os.environ)
    started = time.monotonic()
    deadline = started + seconds
    again = hurried = told = False
    while True:
        try:
            if again and done is not None and (found := done()) is not None:
                return found
            return ask()
        except (MlflowException, requests.HTTPError) as error:
            if not _is_transient(error) or time.monotonic() > deadline:
                raise
            if not told and time.monotonic() - started > _SILENT_SECONDS:
                told = True
                print(f"waiting up to {seconds:.0f} s: {reason(error)}", file=sys.stderr)
        if interruption.due() and not hurried:
            hurried = True
            deadline = min(deadline, time.monotonic() + _PATIENCE_WHEN_INTERRUPTED)
        again = True
        time.sleep(_PAUSE_SECONDS)


def patience(environment: Mapping[str, str]) -> float:
    """Return for how many seconds the server may be away.

    Raises
    ------
    BadInputError
        If FOOTBALL_PATIENCE_SECONDS is not a number of seconds.
    """
    text = environment.get(PATIENCE, "") or str(_STANDARD_PATIENCE)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise BadInputError(
            f"{PATIENCE}: {shown(text)} is not a valid number of seconds: it must be 0 or more. "
            f"Write a number such as {_STANDARD_PATIENCE:.0f}"
        )
    return seconds


def settle() -> None:
    """Set up MLflow's client in this process, before it is imported."""
    # Clients need not tell MLflow's makers what they do, and programs here print the address.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"


def reason(error: BaseException) -> str:
    """Return what an error of MLflow's client says, in a line and without SQL.

    Parameters
    ----------
    error
        What `patiently` raised, or any other error.
    """
    text = str(error)
    if text.startswith(_NO_ANSWER):
        return f"no answer from the tracking server ({innermost(error)})"
    if isinstance(error, requests.HTTPError) and error.response is not None:
        text = f"error code {error.response.status_code}: {error.response.text}"
    elif said := _STATUS.search(text):
        text = f"error code {said[1]}: {said[2]}"
    if f"error code {HTTPStatus.UNAUTHORIZED.value}:" in text:
        text = "the login is refused: the password was changed, say. Source mlflow.env again"
    return one_line(re.split(r"\[SQL:|\(Background on this error", text)[0]) or type(error).__name__


def cause(error: BaseException, kind: type[E]) -> E | None:
    """Return the error of a kind among an error and what led to it; None if there is none."""
    return next((found for found in _chain(error) if isinstance(found, kind)), None)


def innermost(error: BaseException) -> str:
    """Return what the error says that led to all others, in a line."""
    *_, last = _chain(error)
    return why(last)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it; requests and urllib3 keep that in arguments."""
    seen: set[int] = set()
    following: list[Any] = [error]
    while following:
        found = following.pop()
        if not isinstance(found, BaseException) or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        following += [found.__context__, found.__cause__, *found.args]
        following.append(getattr(found, "reason", None))


def _is_transient(error: Exception) -> bool:
    """Return whether the same request may have another answer the next time."""
    if str(error).startswith(_NO_ANSWER):
        reached = cause(error, requests.ConnectionError) or cause(error, requests.Timeout)
        broken = cause(error, requests.exceptions.ChunkedEncodingError)
        untrusted = cause(error, ssl.SSLCertVerificationError)
        return bool(reached or broken) and not untrusted
    status, caught = _answer(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return not caught or bool(_LOST_CONNECTION.search(str(error)))
    return status in _TRANSIENT


def _answer(error: Exception) -> tuple[int, bool]:
    """Return the status of the answer, 0 without one, and whether MLflow itself gave it."""
    if isinstance(error, requests.HTTPError):
        if error.response is None:
            return 0, False
        return error.response.status_code, '"error_code"' in error.response.text
    if said := _STATUS.search(str(error)):
        # Text instead of MLflow's JSON: a proxy, or an exception that nobody caught.
        return int(said[1]), False
    get_status: Callable[[], int] = getattr(error, "get_http_status_code", lambda: 0)
    return (get_status() if hasattr(error, "json") else 0), True


@cache
def _keep_answers() -> None:
    """Have MLflow's client return answers of 429 and 5xx instead of throwing their text away."""
    from mlflow.utils import request_utils  # noqa: PLC0415 -- takes seconds

    make: Callable[..., requests.Session] = request_utils._get_request_session  # noqa: SLF001 -- no setting of MLflow reaches it
    signature = inspect.signature(make)

    def make_session(*values: Any, **names: Any) -> requests.Session:
        given = signature.bind(*values, **names)
        given.arguments["raise_on_status"] = False
        return make(*given.args, **given.kwargs)

    request_utils._get_request_session = make_session  # noqa: SLF001 -- see above
