"""Requests that are not valid HTTP, that lie or that are slow: proxy and server stay in step."""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
import uuid
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from .malformed import FIELDS, FRAMES, TARGETS, with_hidden
from .malformed_http2 import (
    END_STREAM,
    GOAWAY,
    HEADERS,
    REQUESTS,
    RST_STREAM,
    encoded,
    kinds,
)

if TYPE_CHECKING:
    from .conftest import Deployment

pytestmark = pytest.mark.slow

API = "/api/2.0/mlflow"
UPLOAD = f"/api/2.0/mlflow-artifacts/artifacts/0/{uuid.uuid4().hex}/artifacts/slow.bin"
# Each of the two workers has 40 threads.
CONNECTIONS = 120
ELSEWHERE = "root:x:0:0"


@dataclass(frozen=True)
class Wire:
    """Connections to the proxy that send any bytes.

    Attributes
    ----------
    host
        Name and port, as a valid request has them in its field `Host`.
    """

    host: str
    context: ssl.SSLContext
    login: str
    authority: str

    def connect(self) -> ssl.SSLSocket:
        """Return a new connection."""
        name, _, port = self.host.rpartition(":")
        plain = socket.create_connection((name, int(port)), timeout=30)
        return self.context.wrap_socket(plain, server_hostname=name)

    def exchange(self, payload: str, seconds: float = 2) -> str:
        """Send bytes; return what comes back until the end, or until nothing came for so long."""
        pieces = []
        with closing(self.connect()) as connection:
            # The proxy closes a connection while a long request is still on its way.
            try:
                connection.sendall(payload.encode("latin-1"))
                connection.settimeout(seconds)
                while piece := connection.recv(65536):
                    pieces.append(piece)
            except OSError:
                pass
        return b"".join(pieces).decode("latin-1")

    def exchange_http2(self, payload: bytes, seconds: float = 3) -> list[tuple[int, int]]:
        """Send bytes as HTTP/2; return kind and flags of the frames that come back."""
        context = ssl.create_default_context(cafile=self.authority)
        context.set_alpn_protocols(["h2"])
        name, _, port = self.host.rpartition(":")
        plain = socket.create_connection((name, int(port)), timeout=30)
        received = b""
        with closing(context.wrap_socket(plain, server_hostname=name)) as connection:
            assert connection.selected_alpn_protocol() == "h2"
            try:
                connection.sendall(payload)
                connection.settimeout(seconds)
                while piece := connection.recv(65536):
                    received += piece
                    if any(is_last(*one) for one in kinds(received)):
                        break
            except OSError:
                pass
        return kinds(received)


@pytest.fixture(scope="module")
def wire(deployment: Deployment) -> Wire:
    environment = deployment.client_environment
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    login = b64encode(":".join(environment[name] for name in names).encode()).decode()
    authority = environment["MLFLOW_TRACKING_SERVER_CERT_PATH"]
    return Wire(
        urlsplit(environment["MLFLOW_TRACKING_URI"]).netloc,
        ssl.create_default_context(cafile=authority),
        f"Basic {login}",
        authority,
    )


def is_last(kind: int, flags: int) -> bool:
    """Return whether nothing follows a frame of a connection with one request."""
    return kind in {RST_STREAM, GOAWAY} or (kind in {0, 1} and bool(flags & END_STREAM))


def log_of(deployment: Deployment, unit: str, since: float) -> list[dict[str, Any]]:
    """Return what a unit has logged as JSON since a time."""
    done = deployment.ssh(f"sudo journalctl --unit={unit} --since=@{since:.0f} --output=cat")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def ids_of_server(deployment: Deployment, since: float) -> dict[str, str]:
    """Return the paths of the tests' requests that the server has seen, by their ids."""
    lines = log_of(deployment, "mlflow", since)
    return {line["request_id"]: line["path"] for line in lines if "/wire/" in str(line.get("path"))}


def ids_of_proxy(deployment: Deployment, since: float) -> set[str]:
    """Return the ids that the proxy has given to requests."""
    lines = log_of(deployment, "caddy", since)
    return {line["request_id"] for line in lines if "request_id" in line}


def units(deployment: Deployment) -> str:
    """Return what changes when a unit restarts."""
    return deployment.ssh("systemctl show mlflow caddy --property=MainPID,NRestarts").stdout


def statuses(answer: str) -> list[int]:
    """Return the statuses of the answers in what came back."""
    return [int(status) for status in re.findall(r"HTTP/1\.[01] (\d{3})", answer)]


def test_proxy_and_server_see_the_same_requests(deployment: Deployment, wire: Wire) -> None:
    """A request that only the server sees has passed by the checks of the proxy: smuggling."""
    before, since = units(deployment), time.time() - 1
    found = {}
    for name, frame in FRAMES.items():
        for method in ("POST", "GET"):
            known = uuid.uuid4().hex[:8]
            head = (
                f"{method} /wire/{known} HTTP/1.1\r\nHost: {wire.host}\r\n"
                f"Authorization: {wire.login}\r\n"
            )
            answer = wire.exchange(head + with_hidden(frame, known, wire.host))
            failed = {status for status in statuses(answer) if status >= 500} - {501}
            if failed:
                found[name] = failed
    time.sleep(1)
    seen = ids_of_server(deployment, since)

    assert found == {}
    # Some of them are valid, so the server has seen requests at all.
    assert len(seen) > 10
    assert {
        path for key, path in seen.items() if key not in ids_of_proxy(deployment, since)
    } == set()
    assert units(deployment) == before


def test_proxy_and_server_see_the_same_requests_of_http2(
    deployment: Deployment, wire: Wire
) -> None:
    """What HTTP/2 has in frames, the proxy writes as lines to the server."""
    before, since = units(deployment), time.time() - 1
    unanswered, names = [], {}
    for name, request in REQUESTS.items():
        for method in ("POST", "GET"):
            filling = {"id": uuid.uuid4().hex[:8], "host": wire.host, "login": wire.login}
            answer = wire.exchange_http2(encoded(request, method, filling))
            # A stream that is reset has no answer, whatever the proxy's log says of its status.
            if any(kind == HEADERS for kind, _ in answer):
                names[filling["id"]] = name
            if not any(is_last(*one) for one in answer):
                unanswered.append(f"{method} {name}")
    time.sleep(1)
    seen = ids_of_server(deployment, since)
    failed = {
        names[known]
        for line in log_of(deployment, "caddy", since)
        if line.get("status", 0) >= 500
        for known in re.findall(r"/wire/(\w{8})", json.dumps(line))
        if known in names
    }

    assert unanswered == []
    assert len(seen) > 10
    assert [path for path in seen.values() if "hidden" in path] == []
    assert {
        path for key, path in seen.items() if key not in ids_of_proxy(deployment, since)
    } == set()
    assert failed == set()
    assert units(deployment) == before


def test_any_first_line_is_refused_or_is_a_path_of_the_server(
    deployment: Deployment, wire: Wire
) -> None:
    before = units(deployment)
    found = {}
    for name, line in TARGETS.items():
        filled = line.replace("{id}", "x").replace("{host}", wire.host)
        answer = wire.exchange(
            f"{filled}\r\nHost: {wire.host}\r\nAuthorization: {wire.login}\r\n"
            "Connection: close\r\n\r\n"
        )
        bad = [
            one for one in statuses(answer) if one < 300 or (one >= 500 and one not in {501, 505})
        ]
        if bad or ELSEWHERE in answer or "\nX-Injected" in answer:
            found[name] = answer[:300]

    assert found == {}
    assert units(deployment) == before


@pytest.mark.parametrize("name", FIELDS)
def test_fields_do_not_change_who_asks_whom(wire: Wire, name: str) -> None:
    fields = {"Host": wire.host, **FIELDS[name]}
    lines = [f"{key}: {value.replace('{host}', wire.host)}" for key, value in fields.items()]
    # A search: neither deleted nor another page.
    answer = wire.exchange(
        f"GET {API}/experiments/get?experiment_id=0 HTTP/1.1\r\nAuthorization: {wire.login}\r\n"
        "Connection: close\r\n" + "\r\n".join(lines) + "\r\n\r\n"
    )
    [status] = statuses(answer)

    assert status in {200, 400, 404, 421, 431}
    assert "evil" not in answer
    if status == 200:
        assert '"experiment_id":"0"' in answer.replace(" ", "")
    assert FIELDS[name].get("Host", wire.host) == wire.host or status in {400, 421}


def test_script_of_another_site_changes_nothing(deployment: Deployment) -> None:
    for origin in ("https://evil.test", "null", "http://localhost.evil.test"):
        name = uuid.uuid4().hex
        answer = deployment.ask(
            "POST", "2.0/mlflow/experiments/create", json={"name": name}, headers={"Origin": origin}
        )
        found = deployment.ask(
            "GET", "2.0/mlflow/experiments/get-by-name", params={"experiment_name": name}
        )

        assert answer.status_code == 403
        assert found.status_code == 404
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_address_in_the_audit_trail_is_the_client_s(deployment: Deployment) -> None:
    name = uuid.uuid4().hex
    answer = deployment.ask(
        "POST",
        "2.0/mlflow/experiments/create",
        json={"name": name},
        headers={"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"},
    )
    assert answer.ok, answer.text
    record = deployment.ssh(f"sudo grep -h {name} /var/log/mlflow/audit.jsonl").stdout

    assert "203.0.113.9" not in record
    assert json.loads(record.splitlines()[-1])["client"]


def test_client_that_never_ends_its_head_is_left(wire: Wire) -> None:
    with closing(wire.connect()) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {wire.host}\r\nX-Slow: ".encode())
        connection.settimeout(60)
        start = time.monotonic()
        rest = connection.recv(65536)

    assert time.monotonic() - start < 45
    assert not rest or b" 408 " in rest or b" 400 " in rest


def test_readers_that_stop_do_not_keep_others_waiting(
    deployment: Deployment, wire: Wire, run: dict[str, Any]
) -> None:
    folder = run["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
    path = f"2.0/mlflow-artifacts/artifacts/{folder}/large.bin"
    deployment.ask("PUT", path, data=bytes(20_000_000)).raise_for_status()
    asked = f"GET /api/{path} HTTP/1.1\r\nHost: {wire.host}\r\nAuthorization: {wire.login}\r\n\r\n"

    assert max(seconds_beside(deployment, wire, asked.encode())) < 10


@dataclass(frozen=True)
class Slow:
    """A request whose body stops halfway."""

    method: str
    path: str
    length: int
    sent: int


@pytest.mark.parametrize(
    "slow",
    [
        pytest.param(Slow("POST", f"{API}/runs/create", 1000, 1), id="short body"),
        pytest.param(Slow("POST", f"{API}/runs/search", 5_000_000, 1_500_000), id="long body"),
        pytest.param(
            Slow("PUT", UPLOAD, 50_000_000, 1_500_000),
            id="upload",
        ),
    ],
)
def test_slow_bodies_do_not_keep_others_waiting(
    deployment: Deployment, wire: Wire, slow: Slow
) -> None:
    head = (
        f"{slow.method} {slow.path} HTTP/1.1\r\nHost: {wire.host}\r\n"
        f"Authorization: {wire.login}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {slow.length}\r\n\r\n"
    ).encode()
    sent = head + b" " * slow.sent

    assert max(seconds_beside(deployment, wire, sent)) < 10


def seconds_beside(deployment: Deployment, wire: Wire, sent: bytes) -> list[float]:
    """Return how long requests take while many connections have sent these bytes, and wait."""
    with ExitStack() as stack, ThreadPoolExecutor(20) as pool:

        def begin(_: int) -> None:
            stack.enter_context(closing(wire.connect())).sendall(sent)

        list(pool.map(begin, range(CONNECTIONS)))
        time.sleep(2)
        seconds = []
        for _ in range(10):
            start = time.monotonic()
            answer = deployment.ask("GET", "2.0/mlflow/experiments/get?experiment_id=0")
            assert answer.status_code == requests.codes.ok
            seconds.append(time.monotonic() - start)
    return seconds
