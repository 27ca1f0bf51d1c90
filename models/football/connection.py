"""Check the tracking server of the environment, and say in a line why it cannot be used.

It is asked as MLflow's client would ask it, so that whatever keeps that client out shows here.
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import time
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, NoReturn

import requests
from requests.exceptions import InvalidURL
from requests.utils import get_netrc_auth

from football import client_settings
from football.client_settings import EXPORT, without_login
from football.errors import BadInputError, one_line, shown
from football.tracking import cause, innermost

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from football.client_settings import Server

_CONNECT_SECONDS, _ANSWER_SECONDS = 3, 15
_MOST_BYTES = 1024**2
_ENDPOINT = "/api/2.0/mlflow/experiments/search"
# OpenSSL's X509_V_ERR_… (x509_vfy.h).
_NOT_YET_VALID, _EXPIRED, _OTHER_NAMES = 9, 10, {62, 64}

# Names that do not exist, or that are not valid ones.
_NO_HOST: tuple[type[BaseException], ...] = (socket.gaierror, UnicodeError, InvalidURL)
_NOT_CONNECTED = (*_NO_HOST, ConnectionRefusedError, requests.exceptions.ConnectTimeout)


def check_server(environment: Mapping[str, str]) -> None:
    """See that the server of the environment is there and lets this user in.

    Raises
    ------
    BadInputError
        If it is not named, cannot be reached or trusted, or refuses.
    """
    server = client_settings.read(environment)
    try:
        answer, body = _ask(server)
    except (OSError, ValueError) as error:
        _explain_failure(server, error)
    _check_answer(server, answer, body)


def _ask(server: Server) -> tuple[requests.Response, str]:
    """Ask for an experiment; return the answer and the beginning of its body."""
    headers = {}
    if server.user:
        login = f"{server.user}:{server.password}".encode(errors="surrogateescape")
        headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
    elif server.token:
        headers["Authorization"] = f"Bearer {server.token}"
    deadline = time.monotonic() + _ANSWER_SECONDS
    # MLflow's client follows a redirection too, but then its POST requests lose their bodies.
    with requests.get(
        f"{server.uri}{_ENDPOINT}",
        params={"max_results": 1},
        headers=headers,
        verify=server.verify,
        timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS),
        allow_redirects=False,
        stream=True,
    ) as answer:
        body = bytearray()
        for chunk in answer.iter_content(_MOST_BYTES):
            body += chunk
            if len(body) > _MOST_BYTES:
                break
            if time.monotonic() > deadline:
                raise requests.exceptions.ReadTimeout
    return answer, body.decode(errors="replace")


def _explain_failure(server: Server, error: Exception) -> NoReturn:
    """Say why there is no answer."""
    untrusted = cause(error, ssl.SSLCertVerificationError)
    if type(error) is OSError:
        # requests looks for it only when it asks.
        reason = (
            f"{one_line(str(error))}. Correct REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, or unset it"
        )
    elif cause(error, requests.exceptions.ProxyError):
        reason = f"the proxy {server.proxy} does not lead to it ({innermost(error)})"
    elif untrusted is not None:
        reason = _untrusted(server, untrusted.verify_code)
    elif any(cause(error, kind) for kind in _NOT_CONNECTED):
        reason = _unreachable(server, error)
    elif server.parts.scheme == "http" and _speaks_tls(server):
        reason = _use_https(server)
    elif server.parts.scheme == "https" and _speaks_http(server):
        reason = (
            "the server on this port speaks HTTP without TLS, so there is no certificate to check "
            "against ca.pem. Compare the port with mlflow.env, and use http:// only if you trust "
            "the network"
        )
    else:
        reason = _unreachable(server, error)
    _refuse(server, reason)


def _unreachable(server: Server, error: Exception) -> str:
    """Say why there is no server, or none that speaks HTTP."""
    host, port = server.place
    if any(cause(error, kind) for kind in _NO_HOST):
        return "cannot be reached: the host name cannot be resolved. Correct MLFLOW_TRACKING_URI"
    if cause(error, ConnectionRefusedError):
        return (
            f"cannot be reached: nothing listens on port {port} of {host}. Compare the port with "
            "mlflow.env, and see that the deployment is up (make up)"
        )
    if cause(error, requests.exceptions.ConnectTimeout):
        return (
            f"cannot be reached: no connection within {_CONNECT_SECONDS} s. See that the "
            "deployment is up and that your address is among its allowed_cidrs"
        )
    if cause(error, requests.exceptions.ReadTimeout) or cause(error, TimeoutError):
        return (
            f"does not answer within {_ANSWER_SECONDS} s. Compare the address with mlflow.env, or "
            "look on the host why (systemctl status mlflow)"
        )
    if any(cause(error, kind) for kind in (ConnectionError, HTTPException, ssl.SSLError)):
        return (
            f"another service than MLflow answers on port {port} ({innermost(error)}). Compare "
            "host and port with mlflow.env"
        )
    return f"cannot be reached: {innermost(error)}. Compare the address with mlflow.env"


def _untrusted(server: Server, code: int) -> str:
    """Say why OpenSSL does not trust the server's certificate."""
    if code == _EXPIRED:
        return (
            "the server's certificate has expired. Check the clock of this machine, then ask the "
            "administrator to renew the certificate"
        )
    if code == _NOT_YET_VALID:
        return "the server's certificate is not valid yet. Check the clock of this machine"
    if code in _OTHER_NAMES:
        return (
            f"the server's certificate is not for {server.place[0]}. Use the address of "
            "mlflow.env, or have the administrator add the name to mlflow_names"
        )
    known = (
        f"not signed by the authority in {server.verify}"
        if isinstance(server.verify, str)
        else "not signed by a known authority"
    )
    return (
        f"the server's certificate is {known}. Set MLFLOW_TRACKING_SERVER_CERT_PATH to the "
        f"deployment's ca.pem, as mlflow.env does ({EXPORT})"
    )


def _check_answer(server: Server, answer: requests.Response, body: str) -> None:
    """See what the server's answer means."""
    content = _object(body)
    status = answer.status_code
    if status == HTTPStatus.OK and content is not None:
        if content.keys() <= {"experiments", "next_page_token"}:
            return
        _refuse(server, _not_mlflow(server))
    said = one_line(str((content or {}).get("message") or body))
    if server.parts.scheme == "http" and not _is_mlflows(content) and _speaks_tls(server):
        _refuse(server, _use_https(server))
    if answer.is_redirect or answer.is_permanent_redirect:
        target = without_login(answer.headers["Location"]).partition(_ENDPOINT)[0]
        _refuse(server, f"redirects to {one_line(target)}. Set MLFLOW_TRACKING_URI to that address")
    if status == HTTPStatus.UNAUTHORIZED:
        _refuse(server, _not_let_in(server))
    if status == HTTPStatus.FORBIDDEN:
        _refuse(server, _forbidden(server, said))
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        _refuse(server, f"answers 429 ({said}). Wait a minute and try again")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED:
        _refuse(
            server,
            f"answers {status} {answer.reason} ({said}). Try again in a minute, then look on the "
            "host why (journalctl -u mlflow)",
        )
    if _is_mlflows(content):
        _refuse(server, f"answers {status} ({said}). Ask the administrator")
    _refuse(server, _not_mlflow(server))


def _object(body: str) -> dict[str, Any] | None:
    with contextlib.suppress(ValueError, RecursionError):
        content = json.loads(body)
        if isinstance(content, dict):
            return content
    return None


def _is_mlflows(content: dict[str, Any] | None) -> bool:
    """Return whether an answer looks like one of MLflow."""
    return content is not None and "error_code" in content


def _not_mlflow(server: Server) -> str:
    path = server.parts.path.rstrip("/")
    cure = f"Remove the path {one_line(path)}, or compare" if path else "Compare"
    return (
        f"is not a tracking server of MLflow: another service answers on port {server.place[1]}. "
        f"{cure} host and port with mlflow.env ({EXPORT})"
    )


def _use_https(server: Server) -> str:
    address = server.shown.replace("http:", "https:", 1)
    return f"the server speaks HTTPS. Set MLFLOW_TRACKING_URI to {address}"


def _not_let_in(server: Server) -> str:
    """Say why nobody is logged in."""
    if get_netrc_auth(server.uri):
        return (
            f"refuses the login that the file .netrc holds for {server.place[0]}, which requests "
            "prefer to MLFLOW_TRACKING_USERNAME. Remove it there"
        )
    if not server.user:
        return (
            "requires a login: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD are not set. "
            f"Source mlflow.env ({EXPORT})"
        )
    return (
        f"refuses user {shown(server.user)} with this password: it is wrong, or was changed since. "
        f"Source mlflow.env again ({EXPORT}), or ask the administrator for a new "
        f"users/{one_line(server.user)}.env"
    )


def _forbidden(server: Server, said: str) -> str:
    """Say what is not allowed: the name of the host, or this to the user."""
    if "Invalid Host header" in said:
        return (
            f"does not serve the host name {server.place[0]} ({said}). Use the address of "
            "mlflow.env, or have the administrator add the name to mlflow_names"
        )
    who = f"user {shown(server.user)}" if server.user else "users without a login"
    return (
        f"forbids this to {who} ({said}). Ask the administrator for the permission, or source the "
        "mlflow.env of another user"
    )


def _refuse(server: Server, reason: str) -> NoReturn:
    """Raise the error; a proxy in between is named, as it may be the cause."""
    host = server.place[0]
    hint = (
        f". Requests to it pass the proxy {server.proxy}: to go without it, add {host} to NO_PROXY"
        if server.proxy
        else ""
    )
    separator = " " if reason.split(maxsplit=1)[0] in _VERBS else ": "
    raise BadInputError(f"{server.shown}{separator}{reason}{hint}") from None


_VERBS = {"answers", "cannot", "does", "forbids", "is", "redirects", "refuses", "requires"}


@contextlib.contextmanager
def _connected(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(server.place, timeout=_CONNECT_SECONDS) as connection:
        yield connection


def _speaks_tls(server: Server) -> bool:
    """Return whether a TLS handshake succeeds, whoever signed the certificate."""
    if server.proxy:
        return False
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            _connected(server) as connection,
            context.wrap_socket(connection, server_hostname=server.place[0]),
        ):
            return True
    except (OSError, ValueError):
        return False


def _speaks_http(server: Server) -> bool:
    """Return whether the server answers a request without TLS."""
    if server.proxy:
        return False
    host = server.parts.netloc.rpartition("@")[2]
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    try:
        with _connected(server) as connection:
            connection.sendall(request.encode("ascii", "replace"))
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False
