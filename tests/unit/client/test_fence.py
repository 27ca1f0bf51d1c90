"""MLflow's own code sends the files where the plugin does not fit, or is not wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mlflow
import pytest
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository
from mlflow_ec2_client import SWITCH, fence
from mlflow_ec2_client.uploads import ParallelUploads

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    fence.fits.cache_clear()
    yield
    fence.fits.cache_clear()


def kind() -> type:
    """Return the class of what MLflow uses."""
    found = get_artifact_repository("mlflow-artifacts:/0/run/artifacts", "http://127.0.0.1:9")
    return type(found)


def test_installed_release_is_one_that_was_tested() -> None:
    """If it fails after an upgrade of MLflow: CONTRIBUTING.md says how to add the release."""
    assert fence.RELEASES.get(mlflow.__version__) == fence.digest()
    assert kind() is ParallelUploads


@pytest.mark.parametrize("value", ["false", "FALSE", "0"])
def test_plugin_can_be_switched_off(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, value)

    assert kind() is MlflowArtifactsRepository


def test_invalid_switch_is_an_error_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "maybe")

    with pytest.raises(ValueError, match=f"{SWITCH}: 'maybe' is not a valid switch: .* Set one"):
        kind()


def test_other_release_is_left_to_mlflow(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mlflow, "__version__", "3.99.0")

    assert kind() is MlflowArtifactsRepository
    assert kind() is MlflowArtifactsRepository
    [record] = caplog.records
    assert "3.99.0 is not a release that faster uploads were tested with" in record.getMessage()


def test_changed_function_is_left_to_mlflow(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def _upload_part(credential: object, local_file: str, size: int, start_byte: int) -> None:
        """Do something else."""

    monkeypatch.setattr(HttpArtifactRepository, "_upload_part", staticmethod(_upload_part))

    assert kind() is MlflowArtifactsRepository
    assert "functions that faster uploads rely on are not those of" in caplog.text


def test_missing_function_is_left_to_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(HttpArtifactRepository, "_upload_part")

    assert kind() is MlflowArtifactsRepository
