"""Answer 400 to requests whose values MLflow fails on; MLflow answers 500.

Such a request fails whenever it is sent, and MLflow's client repeats a request that was answered by
500 for minutes. MLflow's stores already answer 400 to errors of SQL. Errors of the database, of S3
and of the network keep their status, because a second try might succeed.
"""

from __future__ import annotations

import errno
import logging
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import sqlalchemy.exc
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from flask import Response as FlaskResponse
from google.protobuf.json_format import ParseError
from mlflow import exceptions
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import FEATURE_DISABLED, ErrorCode
from starlette.responses import Response
from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from mlflow_host.patches import Server

# What MLflow's code raises for a value that it does not expect.
OF_VALUES = (
    *(ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError),
    *(ParamValidationError, ParseError),
)
# What fails because of another system, and might succeed later.
OF_OTHER_SYSTEMS = (
    *(BotoCoreError, ClientError, MemoryError, OSError),
    *(sqlalchemy.exc.InterfaceError, sqlalchemy.exc.OperationalError, sqlalchemy.exc.TimeoutError),
)
# What FastAPI's routes can end with because of values; `is_of_values` decides.
HANDLED = (*OF_VALUES, ClientError, OSError, SystemError)
# S3's answer to a key of more than 1,024 bytes.
TOO_LONG_FOR_S3 = "KeyTooLongError"
MESSAGE = "The server cannot process this request: {reason}. Correct it; a second try fails as well"
JSON = "application/json"

logger = logging.getLogger(__name__)


def is_of_values(error: BaseException) -> bool:
    """Say whether a request's values made it fail, and no other system."""
    links = list(_chain(error))
    return any(map(_is_value_error, links)) and not any(map(_is_of_another_system, links))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it."""
    while error:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _is_value_error(error: BaseException) -> bool:
    return isinstance(error, OF_VALUES) or _is_too_long(error) or _is_of_graphql(error)


def _is_of_graphql(error: BaseException) -> bool:
    # MLflow imports it for the first such request, and it takes memory.
    graphql = sys.modules.get("graphql")
    return graphql is not None and isinstance(error, graphql.GraphQLError)


def _is_of_another_system(error: BaseException) -> bool:
    return isinstance(error, OF_OTHER_SYSTEMS) and not _is_value_error(error)


def _is_too_long(error: BaseException) -> bool:
    """Say whether a file or an object of S3 cannot have that name."""
    if isinstance(error, ClientError):
        return bool(error.response.get("Error", {}).get("Code") == TOO_LONG_FOR_S3)
    return isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG


def as_invalid(error: Exception) -> MlflowException:
    """Return MLflow's error for an invalid request."""
    # The text of an error of the file system has a path of the server.
    reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    return MlflowException.invalid_parameter_value(MESSAGE.format(reason=reason))


def answered(error: Exception) -> MlflowException:
    """Return what a request that failed is answered with.

    Raises
    ------
    Exception
        The error itself, if it is neither MLflow's nor of the request's values.
    """
    if isinstance(error, MlflowException):
        return error
    if not is_of_values(error):
        raise error
    # It might be a fault of MLflow's as well, so the journal has the place.
    logger.warning("Request with values that MLflow fails on", exc_info=error)
    return as_invalid(error)


def answer_in_flask(error: Exception) -> HTTPException | FlaskResponse:
    """Answer for Flask's routes."""
    # Flask's own answer, such as 404.
    if isinstance(error, HTTPException):
        return error
    found = answered(error)
    return FlaskResponse(found.serialize_as_json(), found.get_http_status_code(), mimetype=JSON)


async def answer_in_fastapi(_request: Request, error: Exception) -> Response:
    """Answer for FastAPI's own routes."""
    found = answered(error)
    return Response(found.serialize_as_json(), found.get_http_status_code(), media_type=JSON)


def correct_statuses() -> None:
    """Let MLflow's own error for a failed store say whether values made it fail."""
    kind: Any = MlflowException
    status_of, serialize = kind.get_http_status_code, kind.serialize_as_json

    def corrected(error: MlflowException) -> MlflowException:
        cause = error.__cause__
        if status_of(error) != HTTPStatus.INTERNAL_SERVER_ERROR or cause is None:
            return error
        if not is_of_values(cause):
            return error
        return MlflowException.invalid_parameter_value(error.message, **error.json_kwargs)

    def get_http_status_code(self: MlflowException) -> int:
        status: int = status_of(corrected(self))
        return status

    def serialize_as_json(self: MlflowException) -> str:
        text: str = serialize(corrected(self))
        return text

    kind.get_http_status_code = get_http_status_code
    kind.serialize_as_json = serialize_as_json
    # MLflow has no status for it, so it answers 500 to each request that names a workspace.
    name = ErrorCode.Name(FEATURE_DISABLED)
    exceptions.ERROR_CODE_TO_HTTP_STATUS.setdefault(name, HTTPStatus.NOT_IMPLEMENTED.value)


def apply(server: Server) -> None:
    """Answer such requests on the routes of Flask and of FastAPI."""
    correct_statuses()
    server.flask.register_error_handler(Exception, answer_in_flask)
    # Starlette would answer any other kind, and end the request with the error nevertheless.
    for kind in HANDLED:
        server.application.add_exception_handler(kind, answer_in_fastapi)
