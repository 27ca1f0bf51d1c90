"""The plugin of MLflow's client stores what MLflow's own code stores, several files at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository
from mlflow_ec2_client import SWITCH
from mlflow_ec2_client.uploads import ParallelUploads

from tests.tracking_server import ADMIN, ADMIN_PASSWORD

from .conftest import BUCKET, MIB
from .presigning import Presigning, presigning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalAws

# What S3 allows for all parts but the last one.
PART = 5 * MIB
MANY = 200
# Files by their sizes; some are at the limits of what the plugin sends.
SIZES = {
    "one.txt": 1,
    "empty.txt": 0,
    "whole part.bin": PART,
    "two parts.bin": PART + 1,
    "deep/ünïcødé & b.html": 100,
    "deep/deeper/no-type": 10_000,
}


@pytest.fixture(scope="module", params=["on", "only"])
def server(
    aws: LocalAws,
    bucket: str,  # noqa: ARG001  it has to exist
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Presigning]:
    directory = tmp_path_factory.mktemp(f"client-{request.param}")
    with presigning(aws, directory, request.param) as found:
        yield found


@pytest.fixture(scope="module")
def streaming(
    aws: LocalAws,
    bucket: str,  # noqa: ARG001  it has to exist
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Presigning]:
    """A server that offers no transfers to S3."""
    with presigning(aws, tmp_path_factory.mktemp("streaming"), "off") as found:
        yield found


@pytest.fixture(autouse=True)
def client(server: Presigning, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what `mlflow.env` sets."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.store.server.url)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN_PASSWORD)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", server.ca)
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", "1")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(PART))


def repository(server: Presigning) -> MlflowArtifactsRepository:
    """Return what MLflow uses for a run."""
    found = get_artifact_repository(f"mlflow-artifacts:/0/{server.store.run}/artifacts")
    assert isinstance(found, MlflowArtifactsRepository)
    return found


def mlflows_own(server: Presigning, monkeypatch: pytest.MonkeyPatch) -> MlflowArtifactsRepository:
    """Return what MLflow uses for a run without the plugin."""
    monkeypatch.setenv(SWITCH, "false")
    found = repository(server)
    assert type(found) is MlflowArtifactsRepository
    return found


def written(folder: Path) -> Path:
    """Write files of all sizes."""
    for name, size in SIZES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((name.encode() * (size // len(name) + 1))[:size])
    return folder


def stored(server: Presigning, folder: str) -> dict[str, tuple[bytes, str]]:
    """Return bytes and type of each object below a folder of the run's artifacts."""
    prefix = server.store.key(f"{folder}/")
    pages = server.store.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    objects = {}
    for key in [one["Key"] for page in pages for one in page.get("Contents", [])]:
        found = server.store.s3.get_object(Bucket=BUCKET, Key=key)
        objects[key.removeprefix(prefix)] = (found["Body"].read(), found["ContentType"])
    return objects


def test_same_objects_as_by_mlflow(
    server: Presigning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, before = written(tmp_path / "sent"), server.uploads()

    ours = repository(server)
    ours.log_artifacts(str(folder), "by ours/below")
    theirs = mlflows_own(server, monkeypatch)
    theirs.log_artifacts(str(folder), "by theirs/below")

    assert isinstance(ours, ParallelUploads)
    found = stored(server, "by ours")
    assert found == stored(server, "by theirs")
    assert {name: len(content) for name, (content, _) in found.items()} == {
        f"below/{name}": size for name, size in SIZES.items()
    }
    assert server.uploads() == before


def test_folder_goes_to_the_root_of_the_artifacts(server: Presigning, tmp_path: Path) -> None:
    (tmp_path / "at the root").mkdir()
    (tmp_path / "at the root/file").write_bytes(b"content")

    repository(server).log_artifacts(f"{tmp_path}/at the root/..")

    assert stored(server, "at the root")["file"][0] == b"content"


def test_files_come_back_as_they_were_sent(server: Presigning, tmp_path: Path) -> None:
    folder = written(tmp_path / "sent")
    (tmp_path / "found").mkdir()

    ours = repository(server)
    ours.log_artifacts(str(folder), "back")
    found = Path(ours.download_artifacts("back", str(tmp_path / "found")))

    for name in SIZES:
        assert (found / name).read_bytes() == (folder / name).read_bytes(), name


def test_empty_folder_sends_nothing(server: Presigning, tmp_path: Path) -> None:
    repository(server).log_artifacts(str(tmp_path), "nothing")

    assert stored(server, "nothing") == {}


def test_failed_file_is_named_and_no_more_are_begun(server: Presigning, tmp_path: Path) -> None:
    before = server.uploads()
    # The server refuses such a name. Files of a folder come before those of its subfolders.
    refused = tmp_path / "no\nname"
    refused.write_bytes(b"x")
    (tmp_path / "more").mkdir()
    for number in range(MANY):
        (tmp_path / f"more/{number}").write_bytes(b"x")

    with pytest.raises(MlflowException) as raised:
        repository(server).log_artifacts(str(tmp_path), "failed")

    assert str(raised.value).startswith(f"{refused}: the file was not stored: ")
    assert len(stored(server, "failed")) < MANY
    # Those that were begun are finished.
    assert server.uploads() == before


def test_small_files_pass_through_a_server_that_takes_them(
    server: Presigning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE")
    if server.mode == "only":
        pytest.skip("the server refuses them")
    (tmp_path / "file").write_bytes(b"content")

    repository(server).log_artifacts(str(tmp_path), "through the server")

    assert stored(server, "through the server")["file"][0] == b"content"


def test_server_without_uploads_to_s3_gets_the_files_itself(
    streaming: Presigning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"content")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", streaming.store.server.url)
    # As a user who insists on them.
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")

    repository(streaming).log_artifacts(str(tmp_path), "itself")

    assert stored(streaming, "itself")["file"][0] == b"content"
