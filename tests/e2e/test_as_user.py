"""MLflow's client and command line in the shell of a user, who exports `mlflow.env` only."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Deployment

# Longer than any of these takes; a client that asks an address out of reach takes longer.
SECONDS = 90


def test_shell_of_user_has_only_the_variables_of_mlflow_env(deployment: Deployment) -> None:
    done = deployment.use("compgen -e", SECONDS)
    of_login = {"HOME", "LANG", "OLDPWD", "PATH", "PIP_INDEX_URL", "PWD", "SHLVL", "TERM", "USER"}
    of_network = {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}

    names = set(done.stdout.split()) - of_login - of_network - {"_"}
    assert names == set(deployment.client_environment) - of_network


@pytest.fixture(scope="module")
def user_run(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> str:
    program = ROOT / "tests/e2e/client_features.py"
    folder = tmp_path_factory.mktemp("user")
    done = deployment.use(f".venv/bin/python {shlex.quote(str(program))} {folder}", SECONDS)
    assert done.returncode == 0, done.stdout
    found = re.search(r"^RUN ([0-9a-f]{32})$", done.stdout, re.MULTILINE)
    assert found, done.stdout
    return found.group(1)


def test_client_with_defaults_logs_fetches_and_registers(user_run: str) -> None:
    assert user_run


def test_command_line_downloads_artifacts(
    deployment: Deployment, user_run: str, tmp_path: Path
) -> None:
    command = f".venv/bin/mlflow artifacts download --run-id {user_run} --dst-path {tmp_path}"
    done = deployment.use(command, SECONDS)

    assert done.returncode == 0, done.stdout
    assert (tmp_path / "notes/note.txt").read_text() == "grüße\n"


@pytest.mark.usefixtures("user_run")
def test_command_line_searches_experiments(deployment: Deployment) -> None:
    done = deployment.use(".venv/bin/mlflow experiments search", SECONDS)

    assert done.returncode == 0, done.stdout
    assert "of a user" in done.stdout
