"""Limit the hosts that a user can make the server connect to.

MLflow 3.17.2 refuses most private addresses. It follows redirects of webhooks, connects before it
looks at the address, lets multicast, site-local and some embedded addresses pass, and knows only
"all private addresses" as an exception. Here an address is allowed when it is public, or inside a
network that the operator lists. A webhook's name is resolved once, and the connection goes to the
address that was checked. Redirects are refused.
"""

from __future__ import annotations

import importlib
import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from mlflow_host.patches import Server

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# Family and address of a socket.
Target = tuple[socket.AddressFamily, Any]

VARIABLE = "MLFLOW_HOST_ALLOWED_DESTINATIONS"
# What `ipaddress` calls global, or does in some releases of Python, and is not.
NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "100.64.0.0/10",  # carrier-grade NAT
        "168.63.129.16/32",  # Azure's platform service
        "192.0.0.0/24",  # protocol assignments
        "198.18.0.0/15",  # benchmarks
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "64:ff9b:1::/48",  # local NAT64
        "2001::/23",  # protocol assignments, among them Teredo
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fec0::/10",  # site-local
    )
)
NAT64 = ipaddress.ip_network("64:ff9b::/96")
TRACE_ID = re.compile(r"[A-Za-z0-9_:-][A-Za-z0-9_.:-]{0,49}")


class ForbiddenDestinationError(Exception):
    """A destination is not allowed. urllib3 does not know it, so the request is not repeated."""


@dataclass(frozen=True)
class Policy:
    """Which addresses the server connects to in a user's name.

    Attributes
    ----------
    listed
        Networks that are allowed though they are not public, and by plain HTTP too.
    """

    listed: tuple[Network, ...] = ()

    def lists(self, address: Address) -> bool:
        """Say whether the operator lists the address."""
        return any(address in network for network in self.listed)

    def allows(self, address: Address) -> bool:
        """Say whether the address is public, or listed."""
        return self.lists(address) or is_public(address)

    def check(self, host: str, port: int | None, *, listed_only: bool) -> list[Target]:
        """Resolve a host; return where it is, all of which is allowed.

        Raises
        ------
        ForbiddenDestinationError
            If one of them is not, or there is none.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ForbiddenDestinationError(f"{host!r} cannot be resolved: {error}") from error
        targets: list[Target] = list(dict.fromkeys((info[0], info[4]) for info in found))
        for _, target in targets:
            address = ipaddress.ip_address(target[0])
            if listed_only and not self.lists(address):
                raise ForbiddenDestinationError(
                    f"{host!r} is not a valid destination for plain HTTP: {address} is not listed."
                    " Use HTTPS."
                )
            if not self.allows(address):
                raise ForbiddenDestinationError(
                    f"{host!r} is not a valid destination: {address} is not a public address."
                    " An administrator can list it in mlflow_allowed_destinations."
                )
        return targets


def is_public(address: Address) -> bool:
    """Say whether an address is one of the Internet's, and leads to a single host there."""
    if address.version == NAT64.version and address in NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address in network for network in NOT_PUBLIC)
    )


def read_policy() -> Policy:
    """Return the policy of the environment."""
    words = os.environ.get(VARIABLE, "").split(",")
    return Policy(tuple(ipaddress.ip_network(word, strict=False) for word in words if word))


def connect(target: Target, settings: HTTPConnection) -> socket.socket:
    """Connect to an address, which is not resolved again."""
    family, address = target
    connected = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in settings.socket_options or ():
            connected.setsockopt(*option)
        # urllib3 marks a timeout that is not set by an object, which is not a number.
        if settings.timeout is None or isinstance(settings.timeout, int | float):
            connected.settimeout(settings.timeout)
        connected.connect(address)
    except BaseException:
        connected.close()
        raise
    return connected


def guarded_connection(base: type[HTTPConnection], policy: Policy) -> type[HTTPConnection]:
    """Return a class of connections that go to an address that was checked."""
    # TLS follows, and still checks the certificate for the name.
    plain = not issubclass(base, HTTPSConnection)

    class Guarded(base):  # type: ignore[valid-type, misc]
        def _new_conn(self) -> socket.socket:
            failure: OSError | None = None
            for target in policy.check(self._dns_host, self.port, listed_only=plain):
                try:
                    return connect(target, self)
                except OSError as error:
                    failure = error
            raise NewConnectionError(self, f"{failure}") from failure

    return Guarded


class GuardedAdapter(HTTPAdapter):
    """Send requests to allowed destinations only, past every proxy."""

    def __init__(self, policy: Policy, **settings: Any) -> None:
        """Take the settings of requests' own adapter."""
        self._policy = policy
        super().__init__(**settings)

    def init_poolmanager(self, *args: Any, **settings: Any) -> None:
        """Make the pools, whose connections are guarded."""
        super().init_poolmanager(*args, **settings)

        class HttpPool(HTTPConnectionPool):
            ConnectionCls = guarded_connection(HTTPConnection, self._policy)

        class HttpsPool(HTTPSConnectionPool):
            ConnectionCls = guarded_connection(HTTPSConnection, self._policy)  # type: ignore[assignment]

        self.poolmanager.pool_classes_by_scheme = {"http": HttpPool, "https": HttpsPool}

    def proxy_manager_for(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: a proxy would resolve the name once more."""
        raise ForbiddenDestinationError("webhooks are not sent through a proxy")


def refuse_redirect(response: requests.Response, *_: Any, **__: Any) -> requests.Response:
    """Raise for a redirect, which leads to a destination that nobody has named."""
    if response.is_redirect or response.is_permanent_redirect:
        response.close()
        raise ForbiddenDestinationError("the destination answers with a redirect")
    return response


def guarded_session(session: requests.Session, policy: Policy) -> requests.Session:
    """Return the session; what it repeats stays, where it leads to is guarded."""
    for prefix, adapter in list(session.adapters.items()):
        retries = adapter.max_retries if isinstance(adapter, HTTPAdapter) else 0
        session.mount(prefix, GuardedAdapter(policy, max_retries=retries))
    # A proxy of the environment, or a password of ~/.netrc.
    session.trust_env = False
    session.hooks["response"].append(refuse_redirect)
    return session


def check_url(url: str, field: str, policy: Policy, invalid: Callable[[str], Exception]) -> None:
    """Raise what `invalid` makes of a message, unless the URL leads to an allowed destination."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise invalid(f"{field}: {url!r} is not a valid URL: {error}") from error
    if parts.username is not None or parts.password is not None:
        raise invalid(f"{field} must not hold a user name or a password: {url!r}")
    try:
        policy.check(parts.hostname or "", port, listed_only=parts.scheme == "http")
    except ForbiddenDestinationError as error:
        raise invalid(f"{field}: {error}") from error


def apply(_server: Server) -> None:
    """Limit webhooks, the gateway and traces, for all stores of this process."""
    chosen = read_policy()
    invalid = importlib.import_module("mlflow.exceptions").MlflowException.invalid_parameter_value
    _limit_webhooks(chosen, invalid)
    _limit_traces(invalid)
    if find_spec("mlflow.gateway.ssrf"):
        _limit_gateway(chosen, invalid)


def _limit_webhooks(policy: Policy, invalid: Callable[[str], Exception]) -> None:
    # Its own checks know no list; these take their place, at creation, update, test and delivery.
    os.environ["MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS"] = "true"
    validation = _names_of("mlflow.utils.validation")
    delivery = _names_of("mlflow.webhooks.delivery")
    store = _names_of("mlflow.store.model_registry.sqlalchemy_store")
    check_form = validation["_validate_webhook_url"]
    create_session = delivery["_create_webhook_session"]

    def validate_webhook_url(url: str) -> None:
        check_form(url)
        check_url(url, "Webhook URL", policy, invalid)

    for names in (validation, delivery, store):
        names["_validate_webhook_url"] = validate_webhook_url
    delivery["_create_webhook_session"] = lambda: guarded_session(create_session(), policy)
    # One that was made before.
    delivery["_webhook_session"] = None


def _limit_traces(invalid: Callable[[str], Exception]) -> None:
    # The id is a folder of the trace's artifacts.
    store = _names_of("mlflow.store.tracking.sqlalchemy_store")["SqlAlchemyStore"]
    start = store.start_trace

    def start_trace(self: Any, trace_info: Any) -> Any:
        if not TRACE_ID.fullmatch(trace_info.trace_id):
            raise invalid(
                f"trace_id: {trace_info.trace_id!r} is not a valid id: write up to 50 letters,"
                " digits and the characters _ . : -, without a dot at its start."
            )
        return start(self, trace_info)

    store.start_trace = start_trace


def _limit_gateway(policy: Policy, invalid: Callable[[str], Exception]) -> None:
    validation = _names_of("mlflow.utils.validation")
    guard = _names_of("mlflow.gateway.ssrf")
    for names in (validation, guard, _names_of("mlflow.webhooks.ssrf")):
        names["_is_public_ip"] = policy.allows
    check_form = validation["_validate_gateway_api_base"]

    def validate_gateway_api_base(url: str) -> None:
        check_form(url)
        check_url(url, "Gateway secret api_base", policy, invalid)

    validation["_validate_gateway_api_base"] = validate_gateway_api_base

    # MLflow leaves out providers with an address of their own, one of which is on loopback.
    def enable_protection(*_: Any, **__: Any) -> None:
        guard["upstream_ssrf_protection"].set(True)

    _names_of("mlflow.server.gateway_api")["_enable_upstream_ssrf_protection"] = enable_protection


def _names_of(module: str) -> dict[str, Any]:
    """Return the names of a module of MLflow; it calls what is put there from now on."""
    return vars(importlib.import_module(module))
