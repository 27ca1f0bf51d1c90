"""Playbooks work in the surroundings that operators have, or say in one line what to change."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tests.conftest import BIN, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import LocalAws

# What an operator may have exported for other projects and accounts, all at once.
EXPORTED = {
    "ANSIBLE_ACTION_PLUGINS": "/nowhere",
    "ANSIBLE_CALLBACK_PLUGINS": "/nowhere",
    "ANSIBLE_COLLECTIONS_PATH": "/nowhere",
    "ANSIBLE_FORKS": "1",
    "ANSIBLE_GATHERING": "smart",
    "ANSIBLE_LIBRARY": "/nowhere",
    "ANSIBLE_MODULE_UTILS": "/nowhere",
    "ANSIBLE_PRIVATE_KEY_FILE": "/nowhere",
    "ANSIBLE_REMOTE_USER": "nobody",
    "ANSIBLE_ROLES_PATH": "/nowhere",
    "ANSIBLE_STRATEGY_PLUGINS": "/nowhere",
    "AWS_ACCESS_KEY_ID": "AKIAOFANOTHERACCOUNT",
    "AWS_CA_BUNDLE": "/nowhere",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ENDPOINT_URL": "https://192.0.2.1",
    "AWS_ENDPOINT_URL_EC2": "https://192.0.2.1",
    "AWS_ENDPOINT_URL_S3": "https://192.0.2.1",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_PROFILE": "nobody",
    "AWS_SECRET_ACCESS_KEY": "of-another-account",
    "AWS_URL": "https://192.0.2.1",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "CDPATH": "/tmp",  # noqa: S108  only named
    "PYTHONOPTIMIZE": "2",
    "PYTHONSAFEPATH": "1",
    "PYTHONWARNINGS": "error",
    "REQUESTS_CA_BUNDLE": "/nowhere",
    "SSL_CERT_FILE": "/nowhere",
    "TERM": "",
    "TMPDIR": "/nowhere",
}
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def preflight(
    aws: LocalAws,
    environment: dict[str, str],
    *arguments: str,
    cwd: Path = ROOT,
    root: Path = ROOT,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(BIN / "ansible-playbook", root / "playbooks/preflight.yml"),
            *(*aws.extra_variables, *arguments),
        ],
        cwd=cwd,
        env={
            name: value
            for name, value in aws.environment.items()
            if not name.startswith("ANSIBLE_")
        }
        | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A company's proxy that lets nothing through, and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    asked.append(connection.recv(4096))
                    connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)


def test_preflight_with_everything_exported_passes(aws: LocalAws, tmp_path: Path) -> None:
    done = preflight(aws, EXPORTED | {"HOME": str(tmp_path / "missing")})
    assert done.returncode == 0, done.stdout


def test_preflight_from_another_directory_passes(aws: LocalAws, tmp_path: Path) -> None:
    done = preflight(aws, {}, "--inventory", str(ROOT / "inventory/local"), cwd=tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_preflight_with_proxy_asks_local_aws_directly(
    aws: LocalAws, proxy: tuple[str, list[bytes]]
) -> None:
    url, asked = proxy
    done = preflight(aws, dict.fromkeys(PROXIES, url) | {"NO_PROXY": "example.org", "no_proxy": ""})
    assert done.returncode == 0, done.stdout
    assert asked == []


@pytest.mark.parametrize(
    ("exported", "elsewhere"),
    [("ANSIBLE_CONFIG", False), ("ANSIBLE_INVENTORY", False), ("", True)],
)
def test_preflight_without_inventory_names_the_cure(
    aws: LocalAws, tmp_path: Path, exported: str, *, elsewhere: bool
) -> None:
    file = tmp_path / "empty.cfg"
    file.touch()
    environment = {exported: str(file)} if exported else {}
    done = preflight(aws, environment, cwd=tmp_path if elsewhere else ROOT)
    assert done.returncode != 0
    [line] = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
    assert "is not a valid inventory" in line
    assert str(ROOT / "inventory/local") in line
    assert not exported or f"without {exported}" in line


def test_preflight_in_a_directory_that_others_may_write_to_names_the_cure(
    aws: LocalAws, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    for folder in ("collections", "inventory", "playbooks", "roles"):
        shutil.copytree(ROOT / folder, clone / folder, symlinks=True)
    shutil.copy(ROOT / "ansible.cfg", clone)
    clone.chmod(0o777)
    done = preflight(aws, {}, cwd=clone, root=clone)
    assert done.returncode != 0
    [line] = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
    assert f"Run Ansible in {clone} after `chmod o-w .`" in line
    clone.chmod(0o775)
    assert "is not a valid inventory" not in preflight(aws, {}, cwd=clone, root=clone).stdout
