"""What the tests of this scenario share: the host, its secrets and a client of its server."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import testinfra
import yaml

from tests.molecule.client import Client

if TYPE_CHECKING:
    from testinfra.host import Host

SCENARIO = Path(__file__).resolve().parent.parent
EPHEMERAL = Path(os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY", "."))


@pytest.fixture(scope="module")
def host() -> Host:
    return testinfra.get_host("podman://mol-mlflow-default")


@pytest.fixture(scope="session")
def settings() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((SCENARIO / "vars/main.yml").read_text())
    return values


@pytest.fixture(scope="session")
def secrets(settings: dict[str, Any]) -> list[str]:
    return [settings[name] for name in settings if re.search(r"_(password|secret_key)$", name)]


@pytest.fixture(scope="module")
def client(host: Host, settings: dict[str, Any]) -> Client:
    address = host.check_output("hostname -I").split()[0]
    return Client(address, settings["mlflow_admin_password"], EPHEMERAL / "proxy.pem")
