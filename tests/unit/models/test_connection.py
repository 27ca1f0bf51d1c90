"""Whatever keeps a user from the tracking server is said in one line, within seconds."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import re
import socket
import ssl
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from football import connection
from football.errors import BadInputError

from tests.tracking_server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.loopback_server import TrackingServer

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
LOOPBACK = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
SECONDS = 10


@dataclass
class Answer:
    """What a server answers to everything."""

    status: int = 200
    body: str = "{}"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(self.name, self.key, NOW - DAY, NOW + DAY, [], ca=True)
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(certificate)

    def context(
        self,
        names: list[Any] | None = None,
        before: dt.datetime = NOW - DAY,
        after: dt.datetime = NOW + DAY,
    ) -> ssl.SSLContext:
        """Return a server's settings with a certificate of these names and this time."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        chain = self.directory / "chain.pem"
        chain.write_bytes(
            self._sign(subject, key, before, after, names or LOOPBACK, ca=False)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context

    def _sign(  # noqa: PLR0913 -- what a certificate consists of
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        before: dt.datetime,
        after: dt.datetime,
        names: list[Any],
        *,
        ca: bool,
    ) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(before)
            .not_valid_after(after)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            # RFC 5280 requires what follows, and Python does since 3.13.
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .add_extension(_usage(ca=ca), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _usage(*, ca: bool) -> x509.KeyUsage:
    """Return what a certificate's key is for: certificates, or a server."""
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    none = dict.fromkeys([*others, "crl_sign", "encipher_only", "decipher_only"], False)
    return x509.KeyUsage(key_cert_sign=ca, digital_signature=not ca, **none)


@contextmanager
def serving(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve HTTP, or HTTPS, on loopback; yield the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """A client that breaks off a handshake is what is tested."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if context:
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def speaking(greeting: bytes | None) -> Iterator[int]:
    """Send every client a greeting and hang up; or say nothing at all."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

        def greet() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                stack.enter_context(client)
                if greeting is not None:
                    client.sendall(greeting)
                    client.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=greet)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ca")


def complaint(uri: str, certificate: object = "", **others: str) -> str:
    """Return the line that a user sees; it must come within seconds."""
    environment = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_TRACKING_SERVER_CERT_PATH": str(certificate)}
    started = time.monotonic()
    with pytest.raises(BadInputError) as caught:
        connection.check_server(environment | others)
    assert time.monotonic() - started < SECONDS
    assert len(str(caught.value).splitlines()) == 1
    assert "journalctl" not in str(caught.value) or "answers 5" in str(caught.value)
    return str(caught.value)


def accept(uri: str, certificate: object = "", **others: str) -> None:
    connection.check_server(
        {"MLFLOW_TRACKING_URI": uri, "MLFLOW_TRACKING_SERVER_CERT_PATH": str(certificate), **others}
    )


LOGIN = {"MLFLOW_TRACKING_USERNAME": "ana", "MLFLOW_TRACKING_PASSWORD": "a-secret-word"}


def test_server_that_accepts_the_login_passes_the_check(authority: Authority) -> None:
    answer = Answer(body=json.dumps({"experiments": [], "next_page_token": "x"}))
    with serving(answer, authority.context()) as port:
        for ending in ("", "/", "/prefix", "/prefix/"):
            accept(f"https://127.0.0.1:{port}{ending}", authority.file, **LOGIN)
        accept(f"HTTPS://localhost:{port}", authority.file)
        accept(f"https://127.0.0.1:{port}", MLFLOW_TRACKING_INSECURE_TLS="true")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("127.0.0.1:5000", "must begin with https://"),
        ("localhost", "must begin with https://"),
        ("sqlite:///mlflow.db", "must be an http or https address"),
        ("file:///tmp", "must be an http or https address"),
        ("http://", "names no host"),
        ("https://:5000", "names no host"),
        ("http://127.0.0.1:port", "not a valid address"),
        ("http://127.0.0.1:99999", "not a valid address"),
        ("http://[::1", "not a valid address"),
        (" http://127.0.0.1:5000", "a blank, a line break"),
        ("http://127.0.0.1:5000\n", "a blank, a line break"),
        ("http://127.0.0.1:5000\r", "a blank, a line break"),
        ("http://127.0.0.1 :5000", "a blank, a line break"),
        ("http://127.0.0.1:5000\u200b", "a blank, a line break"),
        ("http://127.0.0.1:5000/#/experiments/1", r"must end before \? and #"),
        ("http://127.0.0.1:5000/?workspace=a", r"must end before \? and #"),
        ("http://127.0.0.1:5000//", "two slashes"),
        ("http://ana:a-secret-word@127.0.0.1:5000//", "two slashes"),
    ],
)
def test_address_invalid_is_refused(uri: str, expected: str) -> None:
    said = complaint(uri, **LOGIN)

    assert re.match(rf"MLFLOW_TRACKING_URI: .*{expected}.*mlflow\.env", said)
    assert "a-secret-word" not in said


def test_unset_address_names_the_file_to_source() -> None:
    assert "MLFLOW_TRACKING_URI is not set: source mlflow.env" in complaint("")


def test_http_address_of_an_https_server_says_so(authority: Authority) -> None:
    with serving(Answer(), authority.context()) as port:
        said = complaint(f"http://127.0.0.1:{port}", authority.file, **LOGIN)

    assert f"the server speaks HTTPS. Set MLFLOW_TRACKING_URI to https://127.0.0.1:{port}" in said


def test_https_address_of_an_http_server_says_so() -> None:
    with serving(Answer()) as port:
        said = complaint(f"https://127.0.0.1:{port}")

    assert "speaks HTTP without TLS" in said


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "greeting", [b"SSH-2.0-OpenSSH_9.9\r\n", b"", b"\x15\x03\x01\x00\x02\x02\x46"]
)
def test_other_protocol_on_the_port_is_named(scheme: str, greeting: bytes) -> None:
    with speaking(greeting) as port:
        said = complaint(f"{scheme}://127.0.0.1:{port}")

    assert f"another service than MLflow answers on port {port}" in said


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setattr(connection, "_ANSWER_SECONDS", 1)
    with speaking(None) as port:
        assert "does not answer within" in complaint(f"{scheme}://127.0.0.1:{port}")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_port_on_which_nothing_listens_is_named(scheme: str) -> None:
    port = free_port()

    assert f"nothing listens on port {port}" in complaint(f"{scheme}://127.0.0.1:{port}")


def test_address_that_does_not_answer_is_given_up() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # Whoever comes after these is not even refused.
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.settimeout(0)
            client.connect_ex(listener.getsockname())
        time.sleep(0.2)
        said = complaint(f"https://127.0.0.1:{listener.getsockname()[1]}")

    assert "no connection within 3 s" in said
    assert "allowed_cidrs" in said


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70 + ".invalid"])
def test_host_name_that_does_not_exist_is_named(host: str) -> None:
    assert "cannot be re" in complaint(f"https://{host}:5000")


def test_certificate_that_cannot_be_trusted_says_why(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    elsewhere: list[Any] = [x509.DNSName("mlflow.example")]
    cases = [
        (authority.context(), other.file, f"not signed by the authority in {other.file}"),
        (authority.context(), "", "not signed by a known authority"),
        (authority.context(before=NOW - 2 * DAY, after=NOW - DAY), authority.file, "has expired"),
        (authority.context(before=NOW + DAY, after=NOW + 2 * DAY), authority.file, "not valid yet"),
        (authority.context(elsewhere), authority.file, "is not for 127.0.0.1"),
    ]
    for context, certificate, expected in cases:
        with serving(Answer(), context) as port:
            assert expected in complaint(f"https://127.0.0.1:{port}", certificate)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read"),
        (b"", "not a file of PEM certificates"),
        (b"no certificate", "not a file of PEM certificates"),
        (b"\x30\x82\x01\x0a", "not a file of PEM certificates"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "not a file of PEM"),
    ],
)
def test_authority_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | None, expected: str
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)

    said = complaint("https://127.0.0.1:1", file)

    assert said.startswith(f'MLFLOW_TRACKING_SERVER_CERT_PATH: "{file}" ')
    assert expected in said


NOT_MLFLOW = "is not a tracking server of MLflow"


def error(code: str, message: str) -> str:
    return json.dumps({"error_code": code, "message": message})


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, "You are not authenticated.", r'user "ana" with this password.*users/ana\.env'),
        (403, error("PERMISSION_DENIED", "not yours"), r'forbids this to user "ana" \(not yours\)'),
        (403, "Invalid Host header - possible DNS", "does not serve the host name 127.0.0.1"),
        (200, "<html>", NOT_MLFLOW),
        (200, '{"status": "ok"}', NOT_MLFLOW),
        (200, "[]", NOT_MLFLOW),
        (404, "Not Found", NOT_MLFLOW),
        (405, "", NOT_MLFLOW),
        (501, "x" * 3_000_000, NOT_MLFLOW),
        (400, error("INVALID_PARAMETER_VALUE", "a\nb"), r"answers 400 \(a b\)"),
        (429, "slow down", "answers 429 .*Wait"),
        (500, '{"message": "oops"}', r"answers 500 .*\(oops\).*journalctl"),
        (502, "", "answers 502 .*in a minute"),
        (503, "", "answers 503 .*in a minute"),
    ],
)
def test_answer_that_is_not_a_list_of_experiments_is_explained(
    status: int, body: str, expected: str
) -> None:
    with serving(Answer(status, body)) as port:
        said = complaint(f"http://127.0.0.1:{port}", **LOGIN)

    assert re.search(expected, said)
    assert len(said) < 700
    assert "a-secret-word" not in said


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (
            "https://other.example/api/2.0/mlflow/experiments/search?max_results=1",
            r"redirects to https://other\.example\. ",
        ),
        ("/login", r"redirects to /login\. "),
    ],
)
def test_redirection_names_the_other_address(location: str, expected: str) -> None:
    with serving(Answer(308, "", {"Location": location})) as port:
        assert re.search(expected, complaint(f"http://127.0.0.1:{port}"))


def test_path_that_leads_nowhere_is_named() -> None:
    with serving(Answer(404, "")) as port:
        assert "Remove the path /mlflow" in complaint(f"http://127.0.0.1:{port}/mlflow/")


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        ({}, "requires a login"),
        ({"MLFLOW_TRACKING_USERNAME": "ana"}, "MLFLOW_TRACKING_PASSWORD is not set"),
        ({"MLFLOW_TRACKING_PASSWORD": "x"}, "MLFLOW_TRACKING_USERNAME is not set"),
        (LOGIN | {"MLFLOW_TRACKING_PASSWORD": "x\r"}, "MLFLOW_TRACKING_PASSWORD begins or ends"),
        (LOGIN | {"MLFLOW_TRACKING_PASSWORD": "\udcff"}, "is wrong, or was changed"),
    ],
)
def test_login_that_is_missing_or_damaged_is_named(login: dict[str, str], expected: str) -> None:
    with serving(Answer(401, "")) as port:
        assert expected in complaint(f"http://127.0.0.1:{port}", **login)


def test_login_of_netrc_that_is_preferred_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login eva password another\n")
    monkeypatch.setenv("NETRC", str(file))
    with serving(Answer(401, "")) as port:
        assert ".netrc" in complaint(f"http://127.0.0.1:{port}", **LOGIN)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_in_between_is_named(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    with serving(Answer(403, "blocked by policy")) as port:
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://eva:a-secret-word@127.0.0.1:{port}")
        said = complaint(f"{scheme}://127.20.0.1:5000", **LOGIN)

    assert f"the proxy 127.0.0.1:{port}" in said
    assert "add 127.20.0.1 to NO_PROXY" in said
    assert "a-secret-word" not in said


def test_proxy_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")

    assert "add 127.20.0.1 to NO_PROXY" in complaint("https://127.20.0.1:5000")


def test_ca_bundle_missing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent.pem")
    with serving(Answer()) as port:
        assert "/nonexistent.pem" in complaint(f"https://127.0.0.1:{port}")


def test_mlflow_itself_accepts_its_administrator_and_nobody_else(server: TrackingServer) -> None:
    user, password = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
    connection.check_server(server.client)
    # A number is an address too, but not a name that the server knows.
    by_number = f"http://{int(ipaddress.ip_address('127.0.0.1'))}:{server.port}"

    assert "requires a login" in complaint(server.url)
    assert "is wrong" in complaint(server.url, **{user: "admin", password: "another"})
    assert "does not serve the host name" in complaint(by_number)
    assert "Remove the path /mlflow" in complaint(
        f"{server.url}/mlflow", **{user: "admin", password: server.client[password]}
    )
    assert "speaks HTTP without TLS" in complaint(server.url.replace("http:", "https:"))
