"""The proxy on a real host of Debian 13, in front of a server that a test describes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from tests.systemd_host import SystemdHost, booted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "token-of-prometheus-0123456789abcdef"
PASSWORD = "passwordOfThePages0123456789abcdef"
# Answers with the header fields that the request's query names, and with what the proxy sent.
UPSTREAM = """
import http.server, json, urllib.parse

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"path": self.path, "fields": dict(self.headers)}).encode()
        self.send_response(200)
        for name, value in urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        # As MLflow does, before it answers.
        while self.headers["Transfer-Encoding"] and (size := int(self.rfile.readline(), 16)):
            self.rfile.read(size + 2)
        self.do_GET()
    do_PUT = do_GET

http.server.ThreadingHTTPServer(("127.0.0.1", 5001), Handler).serve_forever()
"""


class Proxy(SystemdHost):
    """A host with the proxy, whose port is one of loopback."""

    @property
    def authority(self) -> Path:
        """Return the certificate that signs the proxy's."""
        return self.folder / "ca.pem"

    def play(self, *options: str, **variables: object) -> tuple[dict[str, int], str]:
        """Run role tls_proxy; return the sums of its recap and its output."""
        defaults = {
            "tls_proxy_addresses": ["127.0.0.1"],
            "tls_proxy_ca_destination": str(self.authority),
            "tls_proxy_metrics": [{"path": "/-/metrics/host", "upstream": "127.0.0.1:5001"}],
            "tls_proxy_metrics_token": TOKEN,
            "tls_proxy_pages": [
                {"path": "/-/page", "upstream": "127.0.0.1:5001"},
                {"path": "/-/file", "file": "/var/lib/page/file.txt"},
            ],
            "tls_proxy_pages_username": "viewer",
            "tls_proxy_pages_password": PASSWORD,
        }
        return self.play_role("tls_proxy", defaults | variables, *options)

    def ask(self, path: str, method: str = "GET", **fields: str) -> requests.Response:
        """Send a request through the proxy."""
        return requests.request(
            method,
            f"https://127.0.0.1:{self.port}{path}",
            headers=fields,
            verify=str(self.authority),
            timeout=30,
        )


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A host as Debian's image has it, with a server on loopback."""
    folder = tmp_path_factory.mktemp("proxy")
    with booted(folder, f"proxy-{folder.parent.name}", 5000) as host:
        host.run("systemd-run", "--unit=upstream", "/usr/bin/python3", "-c", UPSTREAM)
        yield Proxy(host.name, host.podman, host.port, folder)


@pytest.fixture(scope="session")
def proxy(bare: Proxy) -> Proxy:
    """The same host after the role."""
    recap, output = bare.play()
    assert (recap["failed"], recap["unreachable"]) == (0, 0), output
    return bare
