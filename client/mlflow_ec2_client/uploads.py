"""Send the small files of a folder to S3 in threads, on connections that are kept."""

from __future__ import annotations

import contextlib
import os
import posixpath
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.entities.multipart_upload import MultipartUploadPart
from mlflow.environment_variables import (
    MLFLOW_HTTP_POOL_MAXSIZE,
    MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE,
    MLFLOW_S3_IGNORE_TLS,
)
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository
from mlflow.utils.file_utils import read_chunk, relative_path_to_artifact_path
from mlflow.utils.request_utils import augmented_raise_for_status, cloud_storage_http_request
from requests import HTTPError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow.entities.multipart_upload import MultipartUploadCredential

__all__ = ["ParallelUploads"]


class ParallelUploads(MlflowArtifactsRepository):
    """MLflow's repository, which sends the files of a folder one after the other, but in threads.

    A file that fits into one part takes three requests: two to the server, before and after the one
    to S3. MLflow opens a connection to S3 for each. All else is as MLflow does it.
    """

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Send all files of a folder and its subfolders.

        Parameters
        ----------
        local_dir
            The folder.
        artifact_path
            The folder of the run's artifacts to which they go; without one, their root.

        Raises
        ------
        MlflowException
            A file was not stored. Its message names the file.
        """
        at_once: list[tuple[str, str | None]] = []
        others: list[tuple[str, str | None]] = []
        for file, folder in _files(local_dir, artifact_path):
            fits = Path(file).stat().st_size <= MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE.get()
            chosen = at_once if fits and self._should_multipart_upload(file) else others
            chosen.append((file, folder))
        self._send_at_once(at_once)
        for file, folder in others:
            self.log_artifact(file, folder)

    def _send_at_once(self, files: list[tuple[str, str | None]]) -> None:
        """Send files in threads. After a failure, those that were begun are finished."""
        if not files:
            return
        failed = threading.Event()

        def send(file: str, folder: str | None) -> None:
            if failed.is_set():
                return
            try:
                self._send(file, folder)
            except Exception as error:
                failed.set()
                raise MlflowException(f"{file}: the file was not stored: {error}") from error

        # Connections are kept for so many threads.
        threads = min(self.max_workers, MLFLOW_HTTP_POOL_MAXSIZE.get())
        with ThreadPoolExecutor(threads, thread_name_prefix=type(self).__name__) as pool:
            futures = [pool.submit(send, file, folder) for file, folder in files]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                # Also if the user interrupts it.
                failed.set()
        for future in futures:
            future.result()

    def _send(self, file: str, folder: str | None) -> None:
        """Send a file as an upload of one part, as `_try_multipart_upload` does."""
        try:
            upload = self.create_multipart_upload(file, 1, folder)
        except HTTPError:
            # MLflow knows which answers mean that the server offers no uploads to S3.
            self.log_artifact(file, folder)
            return
        try:
            [credential] = upload.credentials
            part = _send_part(credential, file)
            self.complete_multipart_upload(file, upload.upload_id, [part], folder)
        except Exception:
            # The first error says more. The bucket's lifecycle deletes what is left.
            with contextlib.suppress(Exception):
                self.abort_multipart_upload(file, upload.upload_id, folder)
            raise


def _files(local_dir: str, artifact_path: str | None) -> Iterator[tuple[str, str | None]]:
    """Give each file of a folder, and the folder of the artifacts to which it goes."""
    top = os.path.abspath(local_dir)  # noqa: PTH100  as MLflow: pathlib would resolve no `..`
    for root, _, names in os.walk(top):
        folder = artifact_path
        if root != top:
            below = relative_path_to_artifact_path(os.path.relpath(root, top))
            folder = posixpath.join(artifact_path, below) if artifact_path else below
        for name in names:
            yield os.path.join(root, name), folder  # noqa: PTH118


def _send_part(credential: MultipartUploadCredential, file: str) -> MultipartUploadPart:
    """Send a whole file to an address of S3, as `_upload_part` does, on a kept connection."""
    answer = cloud_storage_http_request(
        "put",
        credential.url,
        data=read_chunk(Path(file), Path(file).stat().st_size, 0),
        headers=credential.headers,
        verify=not MLFLOW_S3_IGNORE_TLS.get(),
    )
    augmented_raise_for_status(answer)
    return MultipartUploadPart(
        part_number=credential.part_number,
        etag=answer.headers.get("ETag", ""),
        url=credential.url,
    )
