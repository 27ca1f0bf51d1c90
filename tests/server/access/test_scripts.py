"""Scripts that a user writes into artifacts, names and descriptions run in nobody's browser."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.conftest import ROOT
from tests.tracking_server import ADMIN, ADMIN_PASSWORD, locked_environment

if TYPE_CHECKING:
    import requests

    from .conftest import Tracking

PROGRAM = Path(__file__).with_name("chromium_scripts.py")
IMAGE = '<img src="x" onerror="alert(1)">'
SCRIPT = "<script>alert(2)</script>"
MARKDOWN = f"{IMAGE}{SCRIPT}[press](javascript:alert(3)) <a href='javascript:alert(4)'>press</a>"
# Runs with a parser of YAML that knows JavaScript's types.
MLMODEL = """
flavors:
  python_function: {}
utc_time_created: "2026-01-01 00:00:00"
run_id: !!js/function >
  function() { alert(5) }
toString: !!js/function >
  function() { alert(6); return "x" }
model_uuid: {toString: !!js/function "function() { alert(7); return 'x' }"}
"""
FILES = {
    "page.html": f"<!doctype html><p>shown{SCRIPT}",
    "page.xhtml": f'<html xmlns="http://www.w3.org/1999/xhtml"><body>shown{SCRIPT}</body></html>',
    "image.svg": (
        f'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(8)"><text>shown</text>{SCRIPT}'
        "</svg>"
    ),
    "page.xml": f'<x xmlns="http://www.w3.org/1999/xhtml">shown{SCRIPT}</x>',
    "page.md": MARKDOWN,
    "page.js": "alert(9)",
    "page": f"<html>shown{SCRIPT}</html>",
    'a "name"; x=<b>.html': f"<p>shown{SCRIPT}",
    "model/MLmodel": MLMODEL,
}
CONTROL = "data:text/html,<script>alert(0)</script>"
FIELDS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}


@dataclass(frozen=True)
class Written:
    """What a user has written: a run with files, and a model."""

    tracking: Tracking
    experiment: str
    run: str
    model: str
    logged: str
    version: str

    def get(self, path: str, method: str = "GET") -> requests.Response:
        """Ask for a path in the administrator's name."""
        session = self.tracking.server.session()
        return session.request(method, f"{self.tracking.server.url}{path}")

    def paths(self, name: str) -> list[str]:
        """Return every path under which a file can be opened in a browser."""
        quoted = quote(name)
        root = f"2.0/mlflow-artifacts/artifacts/{self.experiment}/{self.run}/artifacts"
        return [
            f"/get-artifact?run_id={self.run}&path={quoted}",
            f"/model-versions/get-artifact?name={quote(self.model)}&version=1&path={quoted}",
            f"/api/{root}/{quoted}",
            f"/ajax-api/{root}/{quoted}",
        ]


@pytest.fixture(scope="module")
def written(tracking: Tracking) -> Written:
    name = f"{IMAGE}-{uuid.uuid4().hex[:8]}"
    note = {"key": "mlflow.note.content", "value": f"shown {MARKDOWN}"}
    experiment = tracking.admin(
        "POST", "2.0/mlflow/experiments/create", name=f"e{name}", tags=[note]
    )["experiment_id"]
    run = tracking.admin(
        "POST",
        "2.0/mlflow/runs/create",
        experiment_id=experiment,
        run_name=f"r{name}",
        tags=[note, {"key": f"t{IMAGE}", "value": SCRIPT}],
    )["run"]["info"]["run_id"]
    session = tracking.server.session()
    root = f"{tracking.server.url}/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts"
    for file, content in FILES.items():
        assert session.put(f"{root}/{quote(file)}", data=content.encode()).ok, file
    logged = tracking.admin("POST", "2.0/mlflow/logged-models", experiment_id=experiment, name="m")[
        "model"
    ]["info"]["model_id"]
    for file, content in FILES.items():
        place = f"{tracking.server.url}/api/2.0/mlflow-artifacts/artifacts/{experiment}/models"
        assert session.put(f"{place}/{logged}/artifacts/{quote(file)}", data=content.encode()).ok
    # The name of a model cannot hold a slash.
    model = f"m{name}"
    tracking.admin(
        "POST", "2.0/mlflow/registered-models/create", name=model, description=f"shown {MARKDOWN}"
    )
    tracking.admin(
        "POST",
        "2.0/mlflow/model-versions/create",
        name=model,
        source=f"mlflow-artifacts:/{experiment}/{run}/artifacts",
        run_id=run,
        description=f"shown {MARKDOWN}",
    )
    return Written(tracking, experiment, run, model, logged, "1")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_artifact_is_a_download_in_a_sandbox(written: Written, name: str, method: str) -> None:
    """Browsers must neither show an artifact nor guess its type, nor run what is in it."""
    logged = f"/ajax-api/2.0/mlflow/logged-models/{written.logged}/artifacts/files"
    for path in [*written.paths(name), f"{logged}?artifact_file_path={quote(name)}"]:
        answer = written.get(path, method)
        if method == "HEAD" and answer.status_code == 405:
            # Stock MLflow has no HEAD of its native routes.
            continue

        assert answer.status_code == 200, (path, answer.text)
        assert {name: answer.headers.get(name) for name in FIELDS} == FIELDS, path
        assert answer.headers["Content-Disposition"].startswith("attachment; filename="), path
        if method == "GET":
            assert answer.text == FILES[name], path


def test_errors_do_not_repeat_a_script_as_a_page(written: Written) -> None:
    for path in (
        f"/get-artifact?run_id={quote(SCRIPT)}&path=x",
        f"/get-artifact?run_id={written.run}&path={quote(SCRIPT)}",
        f"/model-versions/get-artifact?name={quote(SCRIPT)}&version=1&path=x",
        f"/{quote(SCRIPT)}",
        f"/api/2.0/mlflow/{quote(SCRIPT)}",
        f"/api/2.0/mlflow/experiments/get?experiment_id={quote(SCRIPT)}",
        f"/api/2.0/mlflow-artifacts/artifacts/{quote(SCRIPT)}",
    ):
        answer = written.get(path)

        assert not answer.ok, path
        assert answer.headers["X-Content-Type-Options"] == "nosniff", path
        kind = answer.headers["Content-Type"].partition(";")[0]
        assert kind != "text/html" or SCRIPT not in answer.text, path


def test_unknown_content_type_is_not_repeated_as_a_page(written: Written) -> None:
    """CVE-2023-6568: the error about a content type repeated it.

    https://nvd.nist.gov/vuln/detail/CVE-2023-6568
    """
    server = written.tracking.server
    for path in ("users/create", "users/create-ui", "experiments/create"):
        answer = server.session().post(
            f"{server.url}/api/2.0/mlflow/{path}", data="x", headers={"Content-Type": SCRIPT}
        )
        kind = answer.headers["Content-Type"].partition(";")[0]
        assert kind != "text/html" or SCRIPT not in answer.text, path


# Chromium is large, so make does not install it. Debian's package chromium makes the test run.
@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="Debian's package chromium is missing")
def test_pages_run_no_script_of_a_user(written: Written) -> None:
    """CVE-2026-33865: a page ran the JavaScript in the YAML of an MLmodel file.

    https://nvd.nist.gov/vuln/detail/CVE-2026-33865
    """
    run = f"/#/experiments/{written.experiment}/runs/{written.run}"
    model = quote(quote(written.model, safe=""))
    # What each page shows of what the user wrote.
    pages = {
        run: "shown",
        f"{run}/artifacts/model": "MLmodel",
        f"{run}/artifacts/model/MLmodel": "js/function",
        f"{run}/artifacts/page.html": "page.html",
        f"{run}/artifacts/image.svg": "image.svg",
        f"{run}/artifacts/page.md": "page.md",
        f"/#/experiments/{written.experiment}": "onerror",
        f"/#/experiments/{written.experiment}/models/{written.logged}/artifacts": "Artifacts",
        f"/#/models/{model}": "shown",
        f"/#/models/{model}/versions/1": "shown",
        # Downloads are not shown.
        **dict.fromkeys(written.paths("image.svg"), ""),
        CONTROL: "",
    }
    python = locked_environment(ROOT / "requirements/clients/chromium.txt")
    done = subprocess.run(
        [python, PROGRAM, written.tracking.server.url, ADMIN, ADMIN_PASSWORD, *pages],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    # Shows that a script that runs is noticed.
    assert found[CONTROL].pop("ran") == ["0"]
    assert {page: result["ran"] for page, result in found.items() if result.get("ran")} == {}
    for page, text in pages.items():
        assert text in found[page]["text"] if text else found[page]["text"] == "", page
