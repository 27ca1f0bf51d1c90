"""Where the tracking server is and how to log in, as the environment of MLflow's client says."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import SplitResult, urlsplit, urlunsplit

from requests.utils import get_environ_proxies, select_proxy

from football.errors import BadInputError, one_line, shown, why

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPORT = "set -a; . .deploy/<deployment>/mlflow.env; set +a"


@dataclass(frozen=True)
class Server:
    """Where the server is and how to log in, as the environment says.

    `verify` is what requests takes: the file of an authority, or whether to verify at all.
    """

    uri: str
    parts: SplitResult
    verify: str | bool
    user: str
    password: str
    token: str

    @property
    def shown(self) -> str:
        """The address without a password."""
        host = self.parts.netloc.rpartition("@")[2]
        return one_line(urlunsplit(self.parts._replace(netloc=host)))

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        standard = 443 if self.parts.scheme == "https" else 80
        return self.parts.hostname or "", self.parts.port or standard

    @property
    def proxy(self) -> str | None:
        """The address of a proxy in between, without a password."""
        found = select_proxy(self.uri, get_environ_proxies(self.uri))
        return one_line(found.rpartition("@")[2]) if found else None


def read(environment: Mapping[str, str]) -> Server:
    """Read the variables of MLflow's client.

    Raises
    ------
    BadInputError
        If one is missing or not valid.
    """
    uri = environment.get("MLFLOW_TRACKING_URI", "")
    parts = _address(uri)
    user = environment.get("MLFLOW_TRACKING_USERNAME", "")
    password = environment.get("MLFLOW_TRACKING_PASSWORD", "")
    for name, value, other in [
        ("MLFLOW_TRACKING_USERNAME", user, password),
        ("MLFLOW_TRACKING_PASSWORD", password, user),
    ]:
        if other and not value:
            raise BadInputError(f"{name} is not set: source mlflow.env again ({EXPORT})")
        if value != value.strip():
            raise BadInputError(
                f"{name} begins or ends with a blank or line break: source mlflow.env again "
                f"({EXPORT})"
            )
    insecure = environment.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in {"true", "1"}
    certificate = environment.get("MLFLOW_TRACKING_SERVER_CERT_PATH", "")
    if certificate:
        _check_certificate(certificate)
        if insecure:
            raise BadInputError(
                "MLFLOW_TRACKING_INSECURE_TLS and MLFLOW_TRACKING_SERVER_CERT_PATH exclude each "
                "other: unset MLFLOW_TRACKING_INSECURE_TLS"
            )
    token = environment.get("MLFLOW_TRACKING_TOKEN", "")
    return Server(uri.rstrip("/"), parts, certificate or not insecure, user, password, token)


def _address(uri: str) -> SplitResult:
    """Take the address apart."""
    if not uri:
        raise BadInputError(f"MLFLOW_TRACKING_URI is not set: source mlflow.env first ({EXPORT})")

    def refuse(reason: str) -> NoReturn:
        raise BadInputError(
            f"MLFLOW_TRACKING_URI: {shown(without_login(uri))} is not a valid address: {reason}. "
            f"Source mlflow.env again ({EXPORT})"
        )

    if any(character.isspace() or not character.isprintable() for character in uri):
        refuse("it holds a blank, a line break or another invisible character")
    if "://" not in uri:
        refuse("it must begin with https:// or http://")
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        refuse(one_line(str(error)))
    if parts.scheme not in {"http", "https"}:
        refuse("it must be an http or https address")
    if not host:
        refuse("it names no host")
    if parts.query or parts.fragment or uri.endswith(("?", "#")):
        refuse("it must end before ? and #")
    if uri.endswith("//"):
        refuse("it must not end with two slashes")
    return parts


def without_login(uri: str) -> str:
    """Return an address, valid or not, without user and password."""
    scheme, separator, rest = uri.rpartition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}{separator}{place.rpartition('@')[2]}{slash}{path}"


def _check_certificate(path: str) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        reason = (
            "is not a file of PEM certificates"
            if isinstance(error, ssl.SSLError)
            else f"cannot be read ({why(error)})"
        )
        raise BadInputError(
            f"MLFLOW_TRACKING_SERVER_CERT_PATH: {shown(path)} {reason}. Take the ca.pem beside "
            f"mlflow.env and source it again ({EXPORT})"
        ) from None
