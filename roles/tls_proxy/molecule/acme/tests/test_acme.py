"""Whose certificate the proxy shows, and what happens when that changes."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.molecule.fixtures import EPHEMERAL, SCENARIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testinfra.host import Host


def connect(address: str, authority: Path) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=authority)
    plain = socket.create_connection((address, 5000), timeout=30)
    return context.wrap_socket(plain, server_hostname="mlflow.test")


def converge(*arguments: str) -> None:
    done = subprocess.run(
        [
            "ansible-playbook",
            f"--inventory={os.environ['MOLECULE_INVENTORY_FILE']}",
            *arguments,
            str(SCENARIO / "converge.yml"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"ANSIBLE_CONFIG": str(EPHEMERAL / "ansible.cfg")},
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_certificate_comes_from_the_authority(address: str) -> None:
    with connect(address, EPHEMERAL / "authority.pem") as connection:
        certificate = connection.getpeercert()
    assert certificate
    assert certificate["subjectAltName"] == (("DNS", "mlflow.test"),)


def test_challenge_port_is_closed_afterwards(host: Host) -> None:
    lines = host.check_output("ss --no-header --listening --tcp --numeric").splitlines()
    local = [line.split()[3].rpartition(":") for line in lines]
    beyond = {int(port) for address, _, port in local if not address.startswith(("127.", "[::1]"))}
    assert beyond == {22, 5000}


def test_hsts_header_is_sent(host: Host, address: str) -> None:
    head = host.check_output(
        f"curl --silent --insecure --head --resolve mlflow.test:5000:{address}"
        " https://mlflow.test:5000/"
    )
    assert "strict-transport-security: max-age=31536000" in head.lower()


@pytest.fixture
def unchanged(host: Host) -> Iterator[None]:
    """Leave the host as the scenario has it: another run, or another test, relies on it."""
    before = settings(host)
    yield
    converge()
    assert settings(host) == before


def settings(host: Host) -> str:
    """Return the proxy's settings, and the certificates that it was given."""
    # The authority's own is from the control machine too.
    return host.check_output("cd /etc/caddy && sha256sum Caddyfile tls/acme_ca.pem")


@pytest.mark.usefixtures("unchanged")
def test_changed_certificate_is_served(address: str) -> None:
    converge("--extra-vars=tls_proxy_mode=provided")
    with connect(address, EPHEMERAL / "server.pem") as connection:
        assert connection.version() == "TLSv1.3"

    renewed = EPHEMERAL / "renewed.pem"
    converge(
        "--extra-vars=tls_proxy_mode=provided", f"--extra-vars=tls_proxy_certificate={renewed}"
    )
    with connect(address, renewed) as connection:
        assert connection.version() == "TLSv1.3"


def test_certificate_of_the_authority_is_back_after_another(address: str) -> None:
    with connect(address, EPHEMERAL / "authority.pem") as connection:
        assert connection.version() == "TLSv1.3"
