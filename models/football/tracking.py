"""Requests to the tracking server through MLflow's client.

1. `configure_mlflow_client` switches MLflow's own retries off, before MLflow is imported.
2. `with_retries` sends a request, and repeats it while the server is unavailable.
3. `reason` writes an error of MLflow's client in one line.
"""

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
# Status codes after which the same request may succeed.
_TRANSIENT = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
# Messages of the server's database, or of its storage, when it is unavailable.
_LOST_CONNECTION = re.compile("OperationalError|InterfaceError|connect|timed? ?out", re.IGNORECASE)
_NO_ANSWER = "API request to http"
_STATUS = re.compile(r"failed with error code (\d{3}) != \d+\. Response body: '(.*)'", re.DOTALL)

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


def with_retries(request: Callable[[], T], find_result: Callable[[], T | None] | None = None) -> T:
    """Send a request; while the server is unavailable, wait and send it again.

    MLflow's own retries would create a thing twice if the server had created it and its answer was
    lost. `configure_mlflow_client` switches them off.

    Parameters
    ----------
    request
        Sends the request, through MLflow's client, and returns its result.
    find_result
        Returns the result of an earlier attempt, or None if that attempt failed. It is called
        before each retry; a request that creates something needs it.

    Raises
    ------
    mlflow.exceptions.MlflowException
        If the server refuses, or is unavailable for longer than FOOTBALL_PATIENCE_SECONDS.
    requests.HTTPError
        The same, for transfers of artifacts.
    """
    from mlflow import MlflowException  # noqa: PLC0415 -- takes seconds; checks do not need it

    _return_error_responses()
    seconds = patience(os.environ)
    started = time.monotonic()
    deadline = started + seconds
    is_retry = is_shortened = is_reported = False
    while True:
        try:
            if is_retry and find_result is not None and (found := find_result()) is not None:
                return found
            return request()
        except (MlflowException, requests.HTTPError) as error:
            if not _is_transient(error) or time.monotonic() > deadline:
                raise
            if not is_reported and time.monotonic() - started > _SILENT_SECONDS:
                is_reported = True
                print(f"waiting up to {seconds:.0f} s: {reason(error)}", file=sys.stderr)
        if interruption.is_requested() and not is_shortened:
            is_shortened = True
            deadline = min(deadline, time.monotonic() + _PATIENCE_WHEN_INTERRUPTED)
        is_retry = True
        time.sleep(_PAUSE_SECONDS)


def patience(environment: Mapping[str, str]) -> float:
    """Return for how many seconds requests are repeated.

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


def configure_mlflow_client() -> None:
    """Configure MLflow's client in this process, before MLflow is imported."""
    # These programs send no telemetry, and print the address of a run themselves.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"


def reason(error: BaseException) -> str:
    """Return the message of an error of MLflow's client, in one line and without SQL.

    Parameters
    ----------
    error
        The error that `with_retries` raised, or any other.
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
    """Return the first error of a kind in the chain of causes; None without one."""
    return next((found for found in _chain(error) if isinstance(found, kind)), None)


def innermost(error: BaseException) -> str:
    """Return the message of the error that caused all others, in one line."""
    *_, last = _chain(error)
    return why(last)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes; requests and urllib3 keep causes in arguments."""
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
    """Return whether the same request may succeed the next time."""
    if str(error).startswith(_NO_ANSWER):
        reached = cause(error, requests.ConnectionError) or cause(error, requests.Timeout)
        broken = cause(error, requests.exceptions.ChunkedEncodingError)
        untrusted = cause(error, ssl.SSLCertVerificationError)
        return bool(reached or broken) and not untrusted
    status, caught = _status_code(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return not caught or bool(_LOST_CONNECTION.search(str(error)))
    return status in _TRANSIENT


def _status_code(error: Exception) -> tuple[int, bool]:
    """Return the status code, 0 without a response, and whether MLflow itself responded."""
    if isinstance(error, requests.HTTPError):
        if error.response is None:
            return 0, False
        return error.response.status_code, '"error_code"' in error.response.text
    if said := _STATUS.search(str(error)):
        # Text instead of MLflow's JSON comes from a proxy, or from an unhandled exception.
        return int(said[1]), False
    get_status: Callable[[], int] = getattr(error, "get_http_status_code", lambda: 0)
    return (get_status() if hasattr(error, "json") else 0), True


@cache
def _return_error_responses() -> None:
    """Have MLflow's client return responses of 429 and 5xx with their text, instead of raising."""
    from mlflow.utils import request_utils  # noqa: PLC0415 -- takes seconds

    make: Callable[..., requests.Session] = request_utils._get_request_session  # noqa: SLF001 -- no setting of MLflow reaches it
    signature = inspect.signature(make)

    def make_session(*values: Any, **names: Any) -> requests.Session:
        given = signature.bind(*values, **names)
        given.arguments["raise_on_status"] = False
        return make(*given.args, **given.kwargs)

    request_utils._get_request_session = make_session  # noqa: SLF001 -- see above
