"""Artifacts in S3 pass through the server as they come, in both directions.

MLflow writes an upload to a file of the server's host before it sends it to S3, and a download to
another before it answers. On Debian 13 such files lie in memory, so that a large artifact ends the
service. Here each piece goes on as soon as it is there; what is held at a time is bounded, whatever
the size of the artifact.
"""
# ruff: noqa: INP001  Ansible copies this module to the host, it belongs to no package

from __future__ import annotations

import asyncio
import io
import json
import posixpath
from concurrent.futures import ThreadPoolExecutor
from mimetypes import guess_type
from typing import TYPE_CHECKING, Any, BinaryIO

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.server import artifact_router
from mlflow.store.artifact.artifact_repo import StreamUploadMixin
from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository
from mlflow.utils.mime_type_utils import _guess_mime_type
from mlflow.utils.uri import validate_path_is_safe

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from fastapi import FastAPI

MIB = 1 << 20
# S3 takes at most 10,000 parts: this allows 156 GiB.
PART_BYTES = 16 * MIB
PARTS_IN_MEMORY = 3
PIECE_BYTES = MIB
DOWNLOAD_PATHS = tuple(
    f"/{prefix}/2.0/mlflow-artifacts/artifacts/{{artifact_path:path}}"
    for prefix in ("api", "ajax-api")
)
# A slow client keeps its thread for as long as its upload takes.
_UPLOADS = ThreadPoolExecutor(max_workers=32, thread_name_prefix="upload")


class StreamReader(io.RawIOBase):
    """An asynchronous stream as a file, for a thread other than the event loop's.

    Parameters
    ----------
    chunks
        What comes in; its errors are raised by `read`.
    loop
        The event loop that it belongs to.
    """

    def __init__(self, chunks: AsyncIterable[bytes], loop: asyncio.AbstractEventLoop) -> None:
        """Start at its beginning."""
        self._chunks: AsyncIterator[bytes] = aiter(chunks)
        self._loop = loop
        self._left = bytearray()
        self._ended = False

    def readable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read `size` bytes, fewer only at the end; all of them if it is negative."""
        while not self._ended and (size < 0 or len(self._left) < size):
            chunk = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            self._ended = chunk is None
            self._left += chunk or b""
        end = len(self._left) if size < 0 else size
        found = bytes(self._left[:end])
        del self._left[:end]
        return found

    async def _next(self) -> bytes | None:
        return await anext(self._chunks, None)


class StreamingS3ArtifactRepository(S3ArtifactRepository, StreamUploadMixin):
    """MLflow's artifacts in S3, without a file of the host in between."""

    def log_artifact_from_stream(
        self, stream: BinaryIO, artifact_file_name: str, artifact_path: str | None = None
    ) -> None:
        """Upload what a file gives; a failure leaves nothing behind."""
        name = posixpath.basename(artifact_file_name)
        bucket, key = self._place(posixpath.join(artifact_path or "", name))
        repository: Any = self  # MLflow's methods carry no types
        kind, encoding = guess_type(name)
        arguments = {"ContentType": kind, "ContentEncoding": encoding}
        config = TransferConfig(
            multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=2
        )
        config.max_in_memory_upload_chunks = PARTS_IN_MEMORY
        repository._get_s3_client().upload_fileobj(  # noqa: SLF001  its own class
            stream,
            bucket,
            key,
            ExtraArgs={name: value for name, value in arguments.items() if value}
            | self._bucket_owner_params
            | (repository.get_s3_file_upload_extra_args() or {}),
            Config=config,
        )

    async def log_artifact_from_async_stream(
        self,
        chunks: AsyncIterable[bytes],
        artifact_file_name: str,
        artifact_path: str | None = None,
    ) -> None:
        """Upload what comes in; a client that goes away leaves nothing behind."""
        loop = asyncio.get_running_loop()
        reader: Any = StreamReader(chunks, loop)
        await loop.run_in_executor(
            _UPLOADS, self.log_artifact_from_stream, reader, artifact_file_name, artifact_path
        )

    def open_artifact(self, artifact_path: str) -> tuple[Any, int]:
        """Return the content, to be read piece by piece, and its size in bytes.

        Raises
        ------
        MlflowException
            If there is no such object.
        """
        bucket, key = self._place(artifact_path)
        repository: Any = self  # as above
        try:
            found = repository._get_s3_client().get_object(  # noqa: SLF001  its own class
                Bucket=bucket, Key=key, **self._bucket_owner_params
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"NoSuchKey", "404"}:
                raise
            message = f"There is no artifact {artifact_path}"
            raise MlflowException(message, error_code=RESOURCE_DOES_NOT_EXIST) from None
        return found["Body"], found["ContentLength"]

    def _place(self, artifact_path: str) -> tuple[str, str]:
        repository: Any = self  # as above
        bucket, root = repository.parse_s3_compliant_uri(self.artifact_uri)
        return bucket, posixpath.join(root, artifact_path)


async def download_artifact(artifact_path: str) -> Response:
    """Answer with an artifact; of what does not lie in S3, MLflow answers itself."""
    repository = artifact_router._get_artifact_repo()  # noqa: SLF001  as MLflow's own route
    if not isinstance(repository, StreamingS3ArtifactRepository):
        answer: Response = await artifact_router.download_artifact(artifact_path)
        return answer
    try:
        path = artifact_router._get_workspace_scoped_path(  # noqa: SLF001  as above
            validate_path_is_safe(artifact_path)
        )
        body, size = await asyncio.to_thread(repository.open_artifact, path)
    except MlflowException as error:
        return JSONResponse(
            status_code=error.get_http_status_code(),
            content=json.loads(error.serialize_as_json()),
        )
    name = posixpath.basename(path)
    return StreamingResponse(
        _pieces(body),
        headers={
            "Content-Type": _guess_mime_type(name),
            "Content-Length": str(size),
            "Content-Disposition": artifact_router._content_disposition(name),  # noqa: SLF001  as above
            "X-Content-Type-Options": "nosniff",
        },
    )


async def _pieces(body: Any) -> AsyncIterator[bytes]:
    """Read a body of boto3's; its connection goes back when the client has it, or goes away."""
    try:
        while piece := await asyncio.to_thread(body.read, PIECE_BYTES):
            yield piece
    finally:
        body.close()


def stream_through(app: FastAPI) -> None:
    """Let artifacts in S3 pass through this application as they come."""
    _artifact_repository_registry.register("s3", StreamingS3ArtifactRepository)
    for path in DOWNLOAD_PATHS:
        app.add_api_route(path, download_artifact, methods=["GET"])
        # The first route that fits is taken.
        app.router.routes.insert(0, app.router.routes.pop())
