"""Another operator: a clone without .deploy, of another Python, at another address."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import NAME, clone
from .shell import run_shell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Deployment

pytestmark = pytest.mark.slow

# What the locks have wheels for.
PYTHONS = ("3.11", "3.12", "3.13")
# Where pyenv keeps interpreters.
VERSIONS = Path.home() / ".pyenv/versions"


def answers(python: str | Path) -> bool:
    """Return whether an interpreter runs: a version manager names some that are missing."""
    asked = subprocess.run([python, "-c", ""], capture_output=True, check=False)
    return asked.returncode == 0


@pytest.fixture(scope="module")
def python() -> str:
    """An interpreter of another version than the one that has deployed."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    names = [f"python{version}" for version in PYTHONS if version != here]
    on_path = [shutil.which(name) for name in names]
    of_pyenv = [path for name in names for path in VERSIONS.glob(f"*/bin/{name}")]
    found = [path for path in (*on_path, *of_pyenv) if path and answers(path)]
    if not found:
        pytest.skip(f"neither PATH nor pyenv has a Python of another version than {here}")
    return str(found[-1])


@pytest.fixture(scope="module")
def second(
    deployment: Deployment, python: str, tmp_path_factory: pytest.TempPathFactory
) -> Deployment:
    """The same deployment, seen from a second clone with an environment of its own."""
    directory = tmp_path_factory.mktemp("second") / "clone"
    clone(directory)
    (directory / ".venv").unlink()
    made = run_shell(f"make .venv/.up PYTHON={shlex.quote(python)}", directory, 900)
    assert made.returncode == 0, made.stdout
    return replace(deployment, aws=replace(deployment.aws, clone=directory))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A directory, and the URL at which its files are served."""
    directory = tmp_path_factory.mktemp("served")
    (directory / "address").write_text("198.51.100.7\n")
    serve = partial(SimpleHTTPRequestHandler, directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield directory, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def play(second: Deployment, playbook: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Run a playbook as the second operator does."""
    aws = second.aws
    extra = shlex.quote(json.dumps({"deployment": NAME, **variables}))
    exported = {"LOCAL_AWS_DIR": str(aws.directory), "LOCAL_AWS_PORT": str(aws.port)}
    command = f".venv/bin/ansible-playbook {playbook} -e {extra}"
    return run_shell(command, second.clone, 1200, exported)


def test_site_from_a_second_clone_changes_nothing(
    second: Deployment, elsewhere: tuple[Path, str]
) -> None:
    before = second.neighbours.everything()
    address = f"{elsewhere[1]}/address"
    site = play(second, "site.yml", operator_address_url=address)
    drift = play(second, "playbooks/drift.yml", operator_address_url=address)
    after = second.neighbours.everything()

    assert site.returncode == 0, site.stdout
    assert {name: text for name, text in after.items() if before.get(name) != text} == {}
    assert set(before) == set(after)
    assert drift.returncode == 0, drift.stdout


def test_files_of_a_second_clone_serve_ssh_and_clients(second: Deployment) -> None:
    answer = second.ask("GET", "2.0/mlflow/experiments/search", params={"max_results": 1})
    logged_in = second.ssh("systemctl is-active mlflow")

    assert answer.ok, answer.text
    assert logged_in.stdout == "active\n", logged_in.stderr
    assert second.scrape().ok


def test_authorities_that_aws_added_are_not_drift(
    second: Deployment, elsewhere: tuple[Path, str]
) -> None:
    directory, url = elsewhere
    present = (second.aws.directory / "rds-ca.pem").read_text()
    added = (second.aws.directory / "ca.pem").read_text()
    (directory / "bundle.pem").write_text(present + added)
    drift = play(second, "playbooks/drift.yml", aws_rds_ca_url=f"{url}/bundle.pem")

    assert drift.returncode == 0, drift.stdout
