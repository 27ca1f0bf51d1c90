"""The proxy on a real host of Debian 13, in front of a server that a test describes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import requests

from local_aws.machine import images
from local_aws.machine.podman import Podman
from local_aws.settings import Settings
from tests.conftest import RECAP, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLAYBOOK = """
- hosts: all
  tasks:
    - ansible.builtin.import_role:
        name: tls_proxy
"""
TOKEN = "token-of-prometheus-0123456789abcdef"
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
    do_POST = do_PUT = do_GET

http.server.ThreadingHTTPServer(("127.0.0.1", 5001), Handler).serve_forever()
"""


@dataclass(frozen=True)
class Proxy:
    """A host with the proxy, whose port is one of loopback.

    Attributes
    ----------
    authority
        The certificate that signs the proxy's.
    """

    settings: Settings
    podman: Podman
    name: str
    folder: Path
    port: int = 0

    @property
    def authority(self) -> Path:
        """Return the certificate that signs the proxy's."""
        return self.folder / "ca.pem"

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on the host as root."""
        return self.podman.run("exec", self.name, *command, check=check)

    def play(self, *options: str, **variables: object) -> tuple[dict[str, int], str]:
        """Run role tls_proxy; return the sums of its recap and its output."""
        playbook = self.folder / "proxy.yml"
        playbook.write_text(PLAYBOOK)
        extra = {
            "ansible_connection": "containers.podman.podman",
            "ansible_python_interpreter": "/usr/bin/python3",
            "tls_proxy_addresses": ["127.0.0.1"],
            "tls_proxy_ca_destination": str(self.authority),
            "tls_proxy_metrics": [{"path": "/-/metrics/host", "upstream": "127.0.0.1:5001"}],
            "tls_proxy_metrics_token": TOKEN,
            **variables,
        }
        done = subprocess.run(
            [
                *(f"{sys.prefix}/bin/ansible-playbook", f"--inventory={self.name},", "--diff"),
                *(f"--extra-vars={json.dumps(extra)}", *options, str(playbook)),
            ],
            check=False,
            cwd=ROOT,
            env=self.podman.environment | {"ANSIBLE_STRATEGY": "linear"},
            text=True,
            capture_output=True,
        )
        output = done.stdout + done.stderr
        rows = RECAP.findall(output)
        assert rows, output
        names = ("ok", "changed", "unreachable", "failed")
        return {name: sum(int(row[i + 1]) for row in rows) for i, name in enumerate(names)}, output

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
    settings = Settings(data_dir=folder)
    podman = Podman(settings)
    image = images.host_image(settings, podman)
    name = f"proxy-{folder.parent.name}"
    try:
        podman.run(
            *("run", "--detach", f"--name={name}", f"--label={podman.label}", "--privileged"),
            *("--systemd=false", "--cgroupns=private", "--publish=127.0.0.1::5000"),
            *("--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp:rw,exec"),
            *("--stop-signal=SIGRTMIN+3", "--env=container=podman", image, "/sbin/init"),
        )
        published = podman.run("port", name, "5000").stdout.split()[0]
        host = Proxy(settings, podman, name, folder, int(published.rpartition(":")[2]))
        deadline = time.monotonic() + 60
        while host.run("systemctl", "is-system-running", check=False).stdout.strip() not in {
            "running",
            "degraded",
        }:
            assert time.monotonic() < deadline, "the host does not boot"
            time.sleep(0.3)
        host.run("systemd-run", "--unit=upstream", "/usr/bin/python3", "-c", UPSTREAM)
        yield host
    finally:
        podman.remove_all()


@pytest.fixture(scope="session")
def proxy(bare: Proxy) -> Proxy:
    """The same host after the role."""
    recap, output = bare.play()
    assert (recap["failed"], recap["unreachable"]) == (0, 0), output
    return bare
