"""The tracking server as role mlflow runs it, on loopback, and modules that speak to it."""

from __future__ import annotations

import importlib
import io
import json
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.testing import patch_module_args

from tests.postgres import running_cluster
from tests.tracking_server import ADMIN, ADMIN_PASSWORD, Server, basic, deployed_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import requests

    from tests.postgres import Cluster

PASSWORD = "password-of-a-user"


@dataclass(frozen=True)
class Tracking:
    """A server, its database, its files, and Ansible's modules."""

    server: Server
    cluster: Cluster
    directory: Path

    def module(
        self, name: str, /, *, check: bool = False, fails: bool = False, **params: Any
    ) -> dict[str, Any]:
        """Run a module in the administrator's name; return its result."""
        arguments = {
            "url": self.server.url,
            "login_user": ADMIN,
            "login_password": ADMIN_PASSWORD,
            **params,
            "_ansible_check_mode": check,
            "_ansible_diff": True,
        }
        printed = io.StringIO()
        with (
            patch_module_args(arguments),
            redirect_stdout(printed),
            pytest.raises(SystemExit) as stopped,
        ):
            importlib.import_module(
                f"ansible_collections.mlflow_ec2.aws.plugins.modules.{name}"
            ).main()
        result: dict[str, Any] = json.loads(printed.getvalue())
        assert bool(stopped.value.code) is fails, result
        return result

    def call(
        self, user: str, method: str, path: str, password: str = PASSWORD, **body: Any
    ) -> requests.Response:
        """Ask the server in a user's name; `path` is what follows /api/."""
        session = self.server.session(basic(user, password))
        return session.request(method, f"{self.server.url}/api/{path}", json=body or None)

    def admin(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """Ask the server in the administrator's name."""
        answer = self.call(ADMIN, method, path, ADMIN_PASSWORD, **body)
        assert answer.ok, answer.text
        content: dict[str, Any] = answer.json()
        return content

    def read_only(self, *names: str) -> None:
        """Name those who may only read."""
        (self.directory / "read_only_users").write_text("".join(f"{name}\n" for name in names))


@pytest.fixture(scope="session")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracking]:
    directory = tmp_path_factory.mktemp("server")
    # PostgreSQL's log has each statement.
    with running_cluster(log_min_duration_statement=0) as cluster:
        cluster.execute("CREATE DATABASE access")
        with deployed_server(cluster, "access", directory) as server:
            yield Tracking(server, cluster, directory)
