"""A deployment has what another MLflow had, after playbooks/import.yml."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import requests

from tests import other_mlflow
from tests.tracking_server import VERSION

from .comparison import answers_of, assert_same_answers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Play
    from tests.sites import Site

    from .conftest import Other

pytestmark = pytest.mark.slow

DEPLOYMENT = "moved"


@pytest.fixture
def other(local: Other) -> Path:
    """The folder of the other MLflow."""
    return local.folder


def play(site: Site, other: Path, *options: str) -> Play:
    """Import the other MLflow."""
    return site.aws.play(
        "playbooks/import.yml",
        f"--extra-vars=mlflow_import_database={other}/mlflow.db",
        f"--extra-vars=mlflow_import_artifacts={other}/mlruns",
        *options,
    )


def runs(site: Site) -> int:
    """Return the number of the deployment's runs."""
    found = site.post("runs/search", experiment_ids=["0", "1", "2"], run_view_type="ALL")
    return len(found.get("runs", []))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "mlflow_import_database=/missing",
            "'/missing' is not a valid database: it must be",
        ),
        ("mlflow_import_artifacts=/missing", "/missing is not a valid folder: it must exist"),
        ("mlflow_import_roots=['/elsewhere']", "is not a valid list of the folders"),
    ],
)
def test_import_of_other_files_is_refused(
    site: Site, other: Path, option: str, message: str
) -> None:
    name, _, value = option.partition("=")
    value = value if value.startswith("[") else f'"{value}"'
    extra = json.dumps({name: json.loads(value.replace("'", '"'))})
    done = play(site, other, f"--extra-vars={extra}")
    assert done.returncode != 0
    assert message in " ".join(done.output.split())
    assert runs(site) == 0
    site.ssh("sudo test ! -e /var/lib/mlflow/import")


def test_import_whose_upload_fails_leaves_no_copy(site: Site, other: Path, tmp_path: Path) -> None:
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns/missing").symlink_to("/missing")
    shutil.copy(other / "mlflow.db", tmp_path)
    done = play(
        site, tmp_path, f"--extra-vars={json.dumps({'mlflow_import_roots': [f'{other}/mlruns']})}"
    )
    assert done.returncode != 0
    assert "/missing" in done.output
    assert runs(site) == 0
    site.ssh("sudo test ! -e /var/lib/mlflow/import")


def test_import_of_a_database_in_use_is_refused(site: Site, other: Path, tmp_path: Path) -> None:
    shutil.copy(other / "mlflow.db", tmp_path)
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlflow.db-wal").write_bytes(b"changes")
    done = play(site, tmp_path)
    assert done.returncode != 0
    assert "mlflow.db-wal has changes" in " ".join(done.output.split())


def test_import_in_check_mode_changes_nothing(site: Site, other: Path) -> None:
    done = play(site, other, "--check")
    assert done.returncode == 0, done.output
    assert runs(site) == 0


def test_import_moves_all_that_the_other_answers(
    site: Site, other: Path, local: Other, tmp_path: Path
) -> None:
    before = (other / "mlflow.db").read_bytes()
    done = play(site, other)
    assert done.returncode == 0, done.output
    assert (other / "mlflow.db").read_bytes() == before
    site.ssh("sudo test ! -e /var/lib/mlflow/import")

    assert_same_answers(site, local, tmp_path)


def test_import_again_changes_nothing(site: Site, other: Path) -> None:
    before = runs(site)
    done = play(site, other)
    assert done.returncode == 0, done.output
    assert "Imported already; nothing will be changed." in done.output
    assert done.recap["changed"] == 0
    assert runs(site) == before > 0


def test_repeated_import_starts_the_server_that_an_interrupted_one_has_stopped(
    site: Site, other: Path
) -> None:
    site.ssh("sudo systemctl stop mlflow.service")
    done = play(site, other)
    assert done.returncode == 0, done.output
    assert "Imported already; nothing will be changed." in done.output
    assert runs(site) > 0


def test_mlflow_serves_an_export_as_the_deployment(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    # It exists, and keeps its mode.
    folder.mkdir(mode=0o750)
    done = site.aws.play("playbooks/export.yml", f"--extra-vars=mlflow_export_folder={folder}")
    assert done.returncode == 0, done.output
    site.ssh("sudo test ! -e /var/lib/mlflow-export")
    assert sorted(path.name for path in folder.iterdir()) == ["mlartifacts", "mlflow.db"]
    assert folder.stat().st_mode & 0o777 == 0o750
    assert (folder / "mlflow.db").stat().st_mode & 0o777 == 0o600

    artifacts = ("--artifacts-destination", str(folder / "mlartifacts"))
    database = f"sqlite:///{folder}/mlflow.db"
    with other_mlflow.serving(database, artifacts, folder, VERSION) as url:
        assert json.loads(other_mlflow.read(url, tmp_path, VERSION)) == answers_of(site, tmp_path)
        stored = {key.removeprefix("artifacts/") for key in site.artifacts()}
        assert stored
        for path in stored:
            answer = requests.get(f"{url}/api/2.0/mlflow-artifacts/artifacts/{path}", timeout=60)
            place, _, name = path.rpartition("/")
            assert answer.content == site.artifact("GET", f"mlflow-artifacts:/{place}", name)


def test_second_export_to_a_folder_is_refused(site: Site, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("of a user")
    done = site.aws.play("playbooks/export.yml", f"--extra-vars=mlflow_export_folder={tmp_path}")
    assert done.returncode != 0
    assert "is not a valid folder" in " ".join(done.output.split())
    assert (tmp_path / "mlflow.db").read_text() == "of a user"


def test_import_beside_other_runs_is_refused(site: Site, other: Path) -> None:
    site.post("runs/create", experiment_id="1")
    before = runs(site)
    done = play(site, other)
    assert done.returncode != 0
    assert "is not a valid deployment to import to" in " ".join(done.output.split())
    assert runs(site) == before
