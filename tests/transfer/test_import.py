"""A deployment has what another MLflow had, after playbooks/import.yml."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests import other_mlflow
from tests.tracking_server import VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Play
    from tests.sites import Site

pytestmark = pytest.mark.slow


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


def test_import_moves_all_that_the_other_answers(site: Site, other: Path, tmp_path: Path) -> None:
    before = (other / "mlflow.db").read_bytes()
    done = play(site, other)
    assert done.returncode == 0, done.output
    assert (other / "mlflow.db").read_bytes() == before
    site.ssh("sudo test ! -e /var/lib/mlflow/import")

    # Migrated as the deployment has migrated it.
    shutil.copy(other / "mlflow.db", tmp_path / "mlflow.db")
    other_mlflow.migrate(tmp_path / "mlflow.db", VERSION)
    theirs = other_mlflow.read(f"sqlite:///{tmp_path}/mlflow.db", tmp_path, VERSION)
    ours = other_mlflow.read(
        f"https://{site.address}:5000",
        tmp_path,
        VERSION,
        MLFLOW_TRACKING_USERNAME="admin",
        MLFLOW_TRACKING_PASSWORD=site.secret("mlflow-admin"),
        MLFLOW_TRACKING_SERVER_CERT_PATH=f"{site.directory}/ca.pem",
    )
    assert json.loads(ours) == json.loads(theirs.replace(f"{other}/mlruns", "mlflow-artifacts:"))

    artifacts = [path for path in (other / "mlruns").rglob("*") if path.is_file()]
    assert artifacts
    for path in artifacts:
        uri = f"mlflow-artifacts:/{path.parent.relative_to(other / 'mlruns')}"
        assert site.artifact("GET", uri, path.name) == path.read_bytes()


def test_import_again_changes_nothing(site: Site, other: Path) -> None:
    before = runs(site)
    done = play(site, other)
    assert done.returncode == 0, done.output
    assert "Imported already; nothing will be changed." in done.output
    assert done.recap["changed"] == 0
    assert runs(site) == before > 0


def test_import_beside_other_runs_is_refused(site: Site, other: Path) -> None:
    site.post("runs/create", experiment_id="1")
    before = runs(site)
    done = play(site, other)
    assert done.returncode != 0
    assert "is not a valid deployment to import to" in " ".join(done.output.split())
    assert runs(site) == before
