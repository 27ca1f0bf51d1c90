"""Stream artifacts in S3 through the server, in both directions, and only through the server.

MLflow writes an upload to a file of the server's host before it sends it to S3, and a download to
another before it answers. On Debian 13 such files are in memory, so that a large artifact ends the
service. Here each piece is passed on as soon as it arrives. The memory that one transfer takes does
not depend on the artifact's size.

MLflow's class for S3 also offers presigned addresses of S3. A client that gets one sends its bytes
past the proxy, the login and the security group. The class here does not offer them, so the server
does not advertise them and refuses to make one. The patch `presigned` offers them, if the operator
switches it on.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import io
import json
import posixpath
from concurrent.futures import ThreadPoolExecutor
from mimetypes import guess_type
from typing import TYPE_CHECKING, Any, BinaryIO

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError
from fastapi import Request  # noqa: TC002  FastAPI reads the annotation
from fastapi.responses import JSONResponse, Response
from flask import Response as FlaskResponse
from flask import request as flask_request
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    RESOURCE_DOES_NOT_EXIST,
)
from mlflow.server import handlers
from mlflow.store.artifact import artifact_repo
from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository
from mlflow.tracing.constant import SpansLocation, TraceTagKey
from mlflow.tracing.utils.artifact_utils import TRACE_DATA_FILE_NAME
from mlflow.utils.uri import validate_path_is_safe

from mlflow_host.patches.artifacts import downloads

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable

    from mlflow_host.patches import Server

    View = Callable[..., FlaskResponse]

MIB = 1 << 20
# S3 takes at most 10,000 parts: this allows 78 GiB. Each upload holds one part that is on its way
# to S3 and one that is coming in.
PART_BYTES = 8 * MIB
PARTS_IN_MEMORY = 1
# MLflow's limit for uploads by the user interface.
INTERFACE_UPLOAD_BYTES = 10 * MIB
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


class StreamingS3ArtifactRepository(artifact_repo.ArtifactRepository):
    """MLflow's artifacts in S3, without a file of the host in between.

    It uses MLflow's class for S3 and does not inherit from it: the server advertises presigned
    transfers if its repository is an instance of `MultipartUploadMixin`, `MultipartDownloadMixin`
    or `PresignedUploadMixin`, and otherwise refuses them in the way that clients expect. The class
    of the patch `presigned` inherits from this one and from those three.

    Attributes
    ----------
    preview_bytes
        The largest artifact that the server sends; None for any.
    preview_refusal
        Why it does not send a larger one, and the cure.
    """

    preview_bytes: int | None = None
    preview_refusal = ""

    def __init__(
        self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
    ) -> None:
        """Open the artifacts below an address of the form s3://bucket/path."""
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        # Its methods carry no types, and some that are needed here begin with an underscore.
        self._s3: Any = S3ArtifactRepository(
            artifact_uri, tracking_uri=tracking_uri, registry_uri=registry_uri
        )

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Upload a file of the host's."""
        self._s3.log_artifact(local_file, artifact_path)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Upload a folder of the host's."""
        self._s3.log_artifacts(local_dir, artifact_path)

    def list_artifacts(self, path: str | None = None) -> list[Any]:
        """List a folder."""
        found: list[Any] = self._s3.list_artifacts(path)
        return found

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Delete a file or a folder."""
        self._s3.delete_artifacts(artifact_path)

    def log_artifact_from_stream(
        self, stream: BinaryIO, artifact_file_name: str, artifact_path: str | None = None
    ) -> None:
        """Upload what a file gives; a failure leaves nothing behind."""
        name = posixpath.basename(artifact_file_name)
        bucket, key = self._place(posixpath.join(artifact_path or "", name))
        kind, encoding = guess_type(name)
        arguments = {"ContentType": kind, "ContentEncoding": encoding}
        config = TransferConfig(
            multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=2
        )
        config.max_in_memory_upload_chunks = PARTS_IN_MEMORY
        self._client.upload_fileobj(
            stream,
            bucket,
            key,
            ExtraArgs={name: value for name, value in arguments.items() if value}
            | self._owner
            | (self._s3.get_s3_file_upload_extra_args() or {}),
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

    def describe(self, artifact_path: str) -> dict[str, Any]:
        """Return an object's description.

        Raises
        ------
        MlflowException
            If there is no such object, or S3 refuses.
        """
        return self._ask("head_object", artifact_path)

    def open(self, artifact_path: str, **conditions: str) -> dict[str, Any]:
        """Return an object's description and content, which the caller closes.

        Raises
        ------
        MlflowException
            If there is no such object, or S3 refuses.
        """
        return self._ask("get_object", artifact_path, **conditions)

    def _ask(self, call: str, artifact_path: str, **arguments: str) -> dict[str, Any]:
        bucket, key = self._place(artifact_path)
        try:
            found: dict[str, Any] = getattr(self._client, call)(
                Bucket=bucket, Key=key, **self._owner, **arguments
            )
        except (ClientError, BotoCoreError) as error:
            response = getattr(error, "response", {})
            if response.get("Error", {}).get("Code") in {"NoSuchKey", "404"}:
                raise self._missing(artifact_path) from None
            raise MlflowException(str(error), error_code=INTERNAL_ERROR) from error
        return found

    def _missing(self, artifact_path: str) -> MlflowException:
        """Return MLflow's error for a path that is not a file."""
        bucket, key = self._place(artifact_path)
        below = self._client.list_objects_v2(
            Bucket=bucket, Prefix=f"{key.rstrip('/')}/", MaxKeys=1, **self._owner
        )
        if below.get("KeyCount"):
            return MlflowException(
                f"Artifact path refers to a directory, not a file: '{artifact_path}'",
                error_code=INVALID_PARAMETER_VALUE,
            )
        return MlflowException(
            f"No such artifact: '{artifact_path}'", error_code=RESOURCE_DOES_NOT_EXIST
        )

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        """Write a file to the host; the server itself reads traces that way."""
        self._s3._download_file(remote_file_path, local_path)  # noqa: SLF001  the class has no other

    @property
    def _client(self) -> Any:
        return self._s3._get_s3_client()  # noqa: SLF001  as above

    @property
    def _owner(self) -> dict[str, str]:
        owner: dict[str, str] = self._s3._bucket_owner_params  # noqa: SLF001  as above
        return owner

    def _place(self, artifact_path: str) -> tuple[str, str]:
        bucket, root = self._s3.parse_s3_compliant_uri(self.artifact_uri)
        return bucket, posixpath.join(root, artifact_path)


async def download_artifact(artifact_path: str, request: Request) -> Response:
    """Answer with an artifact in S3; MLflow's own route answers for other stores."""
    router = importlib.import_module("mlflow.server.artifact_router")
    repository = router._get_artifact_repo()  # noqa: SLF001  as MLflow's own route
    if not isinstance(repository, StreamingS3ArtifactRepository):
        stock: Response = await router.download_artifact(artifact_path)
        stock.headers["Content-Security-Policy"] = downloads.SANDBOX
        return stock
    try:
        path = router._get_workspace_scoped_path(  # noqa: SLF001  as above
            validate_path_is_safe(artifact_path)
        )
        answer = await downloads.in_thread(
            downloads.answer_request, repository, path, request.method, request.headers
        )
    except MlflowException as error:
        return JSONResponse(
            status_code=error.get_http_status_code(),
            content=json.loads(error.serialize_as_json()),
        )
    return answer.starlette()


def send_artifact(stock: View) -> View:
    """Return a replacement of `_send_artifact`, with which MLflow's views end."""

    def send(repository: Any, path: str) -> FlaskResponse:
        if isinstance(repository, StreamingS3ArtifactRepository):
            return downloads.answer_flask(repository, path)
        return stock(repository, path)

    return send


def download_view(stock: View) -> View:
    """Return a replacement of the view behind GET and HEAD .../mlflow-artifacts/artifacts/."""

    @handlers.catch_mlflow_exception
    @handlers._disable_unless_serve_artifacts  # noqa: SLF001  as MLflow's own view
    def view(artifact_path: str) -> FlaskResponse:
        repository = handlers._get_artifact_repo_mlflow_artifacts()  # noqa: SLF001  as above
        if not isinstance(repository, StreamingS3ArtifactRepository):
            return stock(artifact_path)
        return downloads.answer_flask(repository, _scoped(artifact_path))

    return view


def upload_view(stock: View) -> View:
    """Return a replacement of the view behind PUT .../mlflow-artifacts/artifacts/."""

    @handlers.catch_mlflow_exception
    @handlers._disable_unless_serve_artifacts  # noqa: SLF001  as MLflow's own view
    def view(artifact_path: str) -> FlaskResponse:
        repository = handlers._get_artifact_repo_mlflow_artifacts()  # noqa: SLF001  as above
        folder, name = posixpath.split(_scoped(artifact_path))
        if not isinstance(repository, StreamingS3ArtifactRepository) or not name:
            return stock(artifact_path)
        stream: Any = flask_request.stream
        repository.log_artifact_from_stream(stream, name, folder)
        return FlaskResponse("{}", mimetype="application/json")

    return view


def interface_upload_view(stock: View) -> View:
    """Return a replacement of the view by which the user interface uploads a file.

    MLflow's own view answers all requests that are to be refused.
    """

    @handlers.catch_mlflow_exception
    @handlers._disable_if_artifacts_only  # noqa: SLF001  as MLflow's own view
    def view() -> FlaskResponse:
        run_id, path = flask_request.args.get("run_uuid"), flask_request.args.get("path")
        if not run_id or not path or not 0 < len(flask_request.data) <= INTERFACE_UPLOAD_BYTES:
            return stock()
        folder, name = posixpath.split(validate_path_is_safe(path))
        run = handlers._get_tracking_store().get_run(run_id)  # noqa: SLF001  as above
        if not name or not handlers._is_servable_proxied_run_artifact_root(run.info.artifact_uri):  # noqa: SLF001  as above
            return stock()
        repository = handlers._get_artifact_repo_mlflow_artifacts()  # noqa: SLF001  as above
        if not isinstance(repository, StreamingS3ArtifactRepository):
            return stock()
        place = posixpath.join(run.info.experiment_id, run.info.run_id, "artifacts", folder)
        scoped = handlers._get_workspace_scoped_repo_path_if_enabled(place)  # noqa: SLF001  as above
        repository.log_artifact_from_stream(io.BytesIO(flask_request.data), name, scoped)
        return FlaskResponse(mimetype="application/json")

    return view


def trace_view(stock: View) -> View:
    """Return a replacement of the view that sends a trace's data or an attachment.

    MLflow's own view answers all requests that are to be refused, for traces in the database, and
    for archived ones.
    """

    @handlers.catch_mlflow_exception
    @handlers._disable_if_artifacts_only  # noqa: SLF001  as MLflow's own view
    def view() -> FlaskResponse:
        trace_id, path = flask_request.args.get("request_id"), flask_request.args.get("path")
        trace = trace_id and handlers._get_tracking_store().get_trace_info(trace_id)  # noqa: SLF001  as above
        if not trace:
            return stock()
        if path:
            path = validate_path_is_safe(path)
            artifact_repo._validate_attachment_path(path)  # noqa: SLF001  as above
            path = posixpath.join("attachments", path)
        elif trace.tags.get(TraceTagKey.SPANS_LOCATION) in {
            SpansLocation.TRACKING_STORE.value,
            SpansLocation.ARCHIVE_REPO.value,
        }:
            return stock()
        repository = handlers._get_trace_artifact_repo(trace)  # noqa: SLF001  as above
        if not isinstance(repository, StreamingS3ArtifactRepository):
            return stock()
        try:
            return downloads.answer_flask(repository, path or TRACE_DATA_FILE_NAME)
        except MlflowException:
            return stock()

    return view


def confine(response: FlaskResponse) -> FlaskResponse:
    """Keep a browser from running what is in an artifact, whichever view sends it."""
    if response.headers.get("Content-Disposition", "").startswith("attachment"):
        response.headers["Content-Security-Policy"] = downloads.SANDBOX
    return response


# Views of MLflow's that send or take the bytes of an artifact, by the names of Flask's endpoints.
VIEWS: dict[str, Callable[[View], View]] = {
    "_download_artifact": download_view,
    "_upload_artifact": upload_view,
    "serve_get_trace_artifact": trace_view,
    "serve_upload_artifact": interface_upload_view,
}


def apply(server: Server) -> None:
    """Stream artifacts in S3 on all routes that carry their bytes."""
    _artifact_repository_registry.register("s3", StreamingS3ArtifactRepository)
    vars(handlers)["_send_artifact"] = send_artifact(handlers._send_artifact)  # noqa: SLF001  see there
    server.flask.after_request(confine)
    views: dict[str, Any] = server.flask.view_functions
    for endpoint, replace in VIEWS.items():
        views[endpoint] = replace(views[endpoint])
    # Earlier releases of MLflow serve artifacts by Flask alone.
    if importlib.util.find_spec("mlflow.server.artifact_router") is None:
        return
    # MLflow's own route for uploads then streams to the repository.
    artifact_repo.StreamUploadMixin.register(StreamingS3ArtifactRepository)
    for path in DOWNLOAD_PATHS:
        server.application.add_api_route(path, download_artifact, methods=["GET"])
        # The first route that fits is taken.
        routes = server.application.router.routes
        routes.insert(0, routes.pop())


def _scoped(artifact_path: str) -> str:
    """Return the path below the repository's root, checked as MLflow's own views do it."""
    scoped: Any = handlers._get_workspace_scoped_repo_path_if_enabled(  # noqa: SLF001  as MLflow's own views
        validate_path_is_safe(artifact_path)
    )
    return scoped
