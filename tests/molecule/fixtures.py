"""What the tests of the scenarios share: the host, its settings, its secrets, a client.

A scenario's conftest imports what its tests ask for.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import testinfra
import yaml

from tests.molecule.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

API = "/api/2.0/mlflow"
SEARCH = f"{API}/experiments/search"
# Molecule says where it is; without it nothing here is of use.
EPHEMERAL = Path(os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY", "."))
SCENARIO = Path(os.environ.get("MOLECULE_SCENARIO_DIRECTORY", "."))


def wait_for(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until the condition holds; say how long it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "still not so"
        time.sleep(0.2)
    return time.monotonic() - start


def answers(client: Client) -> bool:
    """Say whether the server answers a real query."""
    try:
        return client.call(SEARCH, {"max_results": 1}).status == 200
    except OSError:
        return False


def psql(host: Host, settings: dict[str, Any], who: str, statement: str) -> Any:
    user, password = {
        "owner": ("mlflow", settings["mlflow_database_password"]),
        "server": ("mlflow_server", settings["mlflow_database_server_password"]),
        "metrics": ("mlflow_metrics", settings["mlflow_database_metrics_password"]),
    }[who]
    return host.run(
        "PGPASSWORD=%s psql --no-psqlrc --tuples-only --no-align --set=ON_ERROR_STOP=1"
        " --command=%s %s",
        password,
        statement,
        f"postgresql://{user}@127.0.0.1/mlflow?sslmode=verify-full"
        "&sslrootcert=/etc/ssl/mlflow-database-ca.pem",
    )


@pytest.fixture(scope="module")
def host() -> Host:
    platforms = yaml.safe_load(Path(os.environ["MOLECULE_FILE"]).read_text())["platforms"]
    return testinfra.get_host(f"podman://{platforms[0]['name']}")


@pytest.fixture(scope="session")
def settings() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((SCENARIO / "vars/main.yml").read_text())
    return values


@pytest.fixture(scope="session")
def secrets(settings: dict[str, Any]) -> list[str]:
    return [
        settings[name] for name in settings if re.search(r"_(password|secret_key|token)$", name)
    ]


@pytest.fixture(scope="module")
def address(host: Host) -> str:
    found: str = host.check_output("hostname -I").split()[0]
    return found


@pytest.fixture(scope="module")
def client(address: str, settings: dict[str, Any]) -> Client:
    port = settings.get("tls_proxy_port", 5000)
    return Client(address, settings["mlflow_admin_password"], EPHEMERAL / "proxy.pem", port)
