"""Chromium on the user interface, as the administrator and as a user who may only read."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT
from tests.tracking_server import locked_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .conftest import Deployment

pytestmark = pytest.mark.slow

EXPERIMENT, MODEL = "futbol_random_forest", "random_forest.goles_local"
# What client_features.py logs to.
TRACED = "of a user"
CONSOLE = "console: Failed to load resource"
PAGES = {
    *("artifacts", "charts", "comparison", "create_experiment", "experiments", "model"),
    *("models", "run", "runs", "traces", "version"),
}
# The pictures that pages of the documentation show.
DOCUMENTED = ("comparison", "model", "report")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the pictures go; those of the documentation are kept if PICTURES names a folder."""
    folder = tmp_path_factory.mktemp("pictures")
    yield folder
    if kept := os.environ.get("PICTURES"):
        for name in DOCUMENTED:
            shutil.copy(folder / f"{name}.png", ROOT / kept)


@pytest.fixture(scope="module")
def logged(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A deployment with runs of all kinds, a champion of each, and a trace."""
    done = deployment.use(".venv/bin/python models/run_experiments.py --all", 900)
    assert done.returncode == 0, done.stdout
    folder = shlex.quote(str(tmp_path_factory.mktemp("features")))
    done = deployment.use(f".venv/bin/python tests/e2e/client_features.py {folder}")
    assert done.returncode == 0, done.stdout
    return deployment


def drive(module: str, *arguments: str | Path, environ: dict[str, str]) -> list[str]:
    """Run a module of this folder with Playwright; return the list that it prints."""
    python = locked_environment(ROOT / "requirements/clients/chromium.txt")
    done = subprocess.run(
        [python, "-m", f"tests.e2e.{module}", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(Path.home()), **environ},
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    problems: list[str] = json.loads(done.stdout)
    return problems


def tour(deployment: Deployment, user: str, new: str, folder: Path) -> list[str]:
    """Visit all pages as the user of a file; return the problems."""
    arguments = (folder, EXPERIMENT, MODEL, TRACED, new)
    return drive("chromium_tour", *arguments, environ=deployment.environment_of(user))


def asks_for(name: str) -> str:
    """Return the one question that the pages expect to be answered with 404: is a name free?"""
    query = f"experiment_name={name.replace(' ', '+')}"
    return f"404: /ajax-api/2.0/mlflow/experiments/get-by-name?{query}"


def experiment_names(deployment: Deployment) -> Iterable[str]:
    """Return the names of all experiments."""
    answer = deployment.ask("POST", "2.0/mlflow/experiments/search", json={"max_results": 1000})
    return [experiment["name"] for experiment in answer.json()["experiments"]]


def test_administrator_sees_every_page_without_an_error(logged: Deployment, pictures: Path) -> None:
    name = "of a browser"

    problems = tour(logged, "mlflow.env", name, pictures)

    # Chromium's console repeats each answer from 400 on.
    assert [problem for problem in problems if not problem.startswith(CONSOLE)] == [asks_for(name)]
    assert {picture.stem for picture in pictures.glob("*.png")} >= PAGES
    assert name in experiment_names(logged)


def test_reader_sees_every_page_and_creates_nothing(logged: Deployment, tmp_path: Path) -> None:
    name = "of a reader"

    problems = tour(logged, "users/grafana.env", name, tmp_path)

    assert [problem for problem in problems if not problem.startswith(CONSOLE)] == [
        asks_for(name),
        "403: /ajax-api/2.0/mlflow/experiments/create",
    ]
    assert name not in experiment_names(logged)


def test_report_opens_without_a_server(logged: Deployment, pictures: Path, tmp_path: Path) -> None:
    report = shlex.quote(str(tmp_path))
    done = logged.use(f".venv/bin/python models/report.py --output {report}")
    assert done.returncode == 0, done.stdout
    page = tmp_path / "index.html"

    seen = drive("chromium_report", page, pictures / "report.png", environ={})

    addresses = [one for one in seen if one.startswith("file:")]
    assert page.as_uri() in addresses
    assert seen == addresses
