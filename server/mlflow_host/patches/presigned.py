"""Let clients transfer artifacts from and to S3 without the host, if the operator allows it.

MLflow's client asks the server for an address of S3 that carries a signature, and sends or fetches
the bytes there. MLflow's login and permissions decide before an address is signed. An address names
one object, one method and one time. It holds no bucket, key or size that a client could change,
because they are part of what is signed.

With mode `only`, clients cannot send or fetch artifacts through the server at all.
"""

from __future__ import annotations

import posixpath
import re
import threading
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from itertools import pairwise
from mimetypes import guess_type
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import boto3
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from flask import request as flask_request
from mlflow.entities.multipart_upload import (
    CreateMultipartUploadResponse,
    MultipartUploadCredential,
)
from mlflow.entities.presigned_download import PresignedDownloadUrlResponse
from mlflow.entities.presigned_upload import CreatePresignedUploadResponse
from mlflow.environment_variables import MLFLOW_S3_ENDPOINT_URL
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    PERMISSION_DENIED,
    RESOURCE_DOES_NOT_EXIST,
)
from mlflow.server import handlers
from mlflow.store.artifact.artifact_repo import (
    MultipartDownloadMixin,
    MultipartUploadMixin,
    PresignedUploadMixin,
)
from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry
from starlette.middleware import Middleware
from starlette.responses import Response

from mlflow_host.patches.artifacts import INTERFACE_UPLOAD_BYTES, StreamingS3ArtifactRepository
from mlflow_host.presigned import Mode, Presigned, read_presigned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow.entities.multipart_upload import MultipartUploadPart
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from mlflow_host.patches import Server

MIB = 1 << 20
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MOST_PARTS = 10_000
# Each part but the last has this size or more.
LEAST_PART_BYTES = 5 * MIB
MOST_PUT_BYTES = 5 << 30
# From 500 MiB on, clients send parts to S3, unless they are older.
MOST_SKIPPED_BYTES = 512 * MIB
# Instead of S3's id, for a file that is sent as a whole.
WHOLE = "whole"
# A name that a client, a proxy or S3 could read as another one.
INVALID_NAME = re.compile(r"\.{0,2}|.*[\x00-\x1f\x7f/].*", re.DOTALL)
INVALID_PATH = re.compile(r"(.*/)?\.{1,2}(/.*)?|.*[\x00-\x1f\x7f].*", re.DOTALL)
# The size in bytes of a file that is uploaded as a whole. MLflow's message has no field for it.
SIZE_FIELD = "X-Mlflow-Artifact-Size"
STREAMED_PATHS = re.compile(r"/(ajax-)?api/2\.0/mlflow-artifacts/artifacts/.+", re.ASCII)
# Errors of S3 that are the client's.
CLIENT_ERRORS = {
    "EntityTooSmall": INVALID_PARAMETER_VALUE,
    "InvalidArgument": INVALID_PARAMETER_VALUE,
    "InvalidPart": INVALID_PARAMETER_VALUE,
    "InvalidPartOrder": INVALID_PARAMETER_VALUE,
    "KeyTooLongError": INVALID_PARAMETER_VALUE,
    "NoSuchUpload": RESOURCE_DOES_NOT_EXIST,
}
REFUSED = "mlflow_artifacts_presigned: this server is set to 'only' and passes on no artifacts."
UPLOAD_CURE = (
    f"{REFUSED} Send them to S3: use MLflow 3.15 or newer and set"
    " MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE=1, as the deployment's mlflow.env does."
)
DOWNLOAD_CURE = (
    f"{REFUSED} Fetch them from S3: use MLflow 3.15 or newer, and do not set"
    " MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD=false."
)
REFUSALS = {"GET": DOWNLOAD_CURE, "PUT": UPLOAD_CURE}
PREVIEW_CURE = (
    f"{REFUSED} Its pages show files of up to {INTERFACE_UPLOAD_BYTES // MIB} MiB. Download larger"
    " ones with MLflow's client, or with the button of the run's page."
)

_clients = threading.Lock()


@dataclass(frozen=True)
class Signer:
    """Signs addresses in a bucket.

    botocore's own function for that takes 3 ms for each address, and names the endpoint of no
    region, which refuses buckets of a new region.

    Attributes
    ----------
    base
        Address of the bucket, without a slash at its end.
    region
        The region of the bucket.
    credentials
        botocore's credentials, which renew themselves.
    """

    base: str
    region: str
    credentials: Any

    def sign(
        self,
        method: str,
        key: str,
        seconds: int,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> str:
        """Return an address for one object.

        Parameters
        ----------
        method
            The method that it is for.
        key
            The key of the object.
        seconds
            How long it is valid.
        query
            Parameters of S3 that become part of the address.
        headers
            Header fields that the request must have as they are here.
        """
        url = f"{self.base}/{quote(key, safe='/-_.~')}"
        asked = AWSRequest(method, url, headers or {}, params=query or {})
        frozen = self.credentials.get_frozen_credentials()
        S3SigV4QueryAuth(frozen, "s3", self.region, expires=seconds).add_auth(asked)
        signed: str = asked.url
        return signed


@lru_cache(maxsize=16)
def signer_of(bucket: str, endpoint: str | None) -> Signer:
    """Return the signer for a bucket.

    Its addresses name the endpoint of the region, because the global one redirects requests for
    buckets that are new, and a redirected request has another host than was signed.
    """
    # A name with a dot does not fit the endpoint's certificate.
    style = "path" if "." in bucket else "virtual"
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": style, "us_east_1_regional_endpoint": "regional"},
    )
    # Sessions of boto3 are not for several threads.
    with _clients:
        session = boto3.Session()
        client: Any = session.client("s3", endpoint_url=endpoint, config=config)
        address: str = client.generate_presigned_url("head_bucket", {"Bucket": bucket})
        credentials: Any = session.get_credentials()
    return Signer(address.partition("?")[0].rstrip("/"), client.meta.region_name, credentials)


class PresignedS3ArtifactRepository(
    StreamingS3ArtifactRepository,
    MultipartUploadMixin,
    MultipartDownloadMixin,
    PresignedUploadMixin,
):
    """MLflow's artifacts in S3, with addresses that clients use themselves.

    MLflow's server advertises what the three mixins stand for, and calls the methods below after
    its login and its permissions.
    """

    # `apply` sets it.
    presigned: Presigned

    def create_multipart_upload(
        self, local_file: str, num_parts: int = 1, artifact_path: str | None = None
    ) -> CreateMultipartUploadResponse:
        """Begin an upload in parts, and sign an address for each part.

        A single part is the whole file: the address is that of the object, which saves three calls
        of S3 for each small file. S3 takes 5 GiB at such an address. With a smaller limit of size,
        it is a part as others are, so that its size is checked before it becomes an object.

        Parameters
        ----------
        local_file
            Path of the file at the client; only its name counts.
        num_parts
            Number of parts, 1 to 10,000.
        artifact_path
            The folder for it.

        Raises
        ------
        MlflowException
            If the name or the number is not valid, or that many parts exceed the limit of size.
        """
        bucket, key = self._upload_place(local_file, artifact_path)
        if not 1 <= num_parts <= MOST_PARTS:
            raise _invalid(
                f"num_parts: {num_parts} is not a valid number of parts: S3 takes 1 to"
                f" {MOST_PARTS}. Set MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE to send larger parts."
            )
        if (num_parts - 1) * LEAST_PART_BYTES >= self.presigned.max_bytes:
            raise self._too_large(f"{num_parts} parts")
        kind, encoding = guess_type(posixpath.basename(key))
        signer, seconds = self._signer(bucket), self.presigned.upload_seconds
        arguments = self._s3.get_s3_file_upload_extra_args() or {}
        if num_parts == 1 and not arguments and self.presigned.max_bytes >= MOST_PUT_BYTES:
            described = {"Content-Type": kind, "Content-Encoding": encoding}
            headers = {name: value for name, value in described.items() if value}
            url = signer.sign("PUT", key, self.presigned.seconds, self._owner_query, headers)
            whole = MultipartUploadCredential(url=url, part_number=1, headers=headers)
            return CreateMultipartUploadResponse(upload_id=WHOLE, credentials=[whole])
        described = {"ContentType": kind, "ContentEncoding": encoding}
        created = self._call(
            "create_multipart_upload",
            Bucket=bucket,
            Key=key,
            **{name: value for name, value in described.items() if value},
            **arguments,
        )
        upload = created["UploadId"]
        return CreateMultipartUploadResponse(
            upload_id=upload,
            credentials=[
                MultipartUploadCredential(
                    url=signer.sign(
                        "PUT",
                        key,
                        seconds,
                        {"partNumber": str(number), "uploadId": upload, **self._owner_query},
                    ),
                    part_number=number,
                    headers={},
                )
                for number in range(1, num_parts + 1)
            ],
        )

    def complete_multipart_upload(
        self,
        local_file: str,
        upload_id: str,
        parts: list[MultipartUploadPart] | None = None,
        artifact_path: str | None = None,
    ) -> None:
        """Make the parts an object, unless they are too large together; then delete them.

        The parts are those that S3 lists, with the checksums that the client says. So a part that
        is replaced meanwhile is refused by S3.

        Raises
        ------
        MlflowException
            If S3 does not have these parts, or if they exceed the limit of size.
        """
        bucket, key = self._upload_place(local_file, artifact_path)
        if upload_id == WHOLE:
            return
        where = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
        kept = {part["PartNumber"]: part for part in self._parts(where)}
        wanted = [(part.part_number, (part.etag or "").strip('"')) for part in parts or []]
        if not wanted or any(one[0] >= other[0] for one, other in pairwise(wanted)):
            raise _invalid("parts: not a valid list: it must have parts in ascending order.")
        for number, etag in wanted:
            if number not in kept or kept[number]["ETag"].strip('"') != etag:
                raise _invalid(
                    f"parts: part {number} is not a valid part of this upload: S3 has none with the"
                    " ETag that was sent. Upload the file again."
                )
        size = sum(kept[number]["Size"] for number, _ in wanted)
        if size > self.presigned.max_bytes:
            self._call("abort_multipart_upload", **where)
            raise self._too_large(f"{size} bytes")
        self._call(
            "complete_multipart_upload",
            **where,
            MultipartUpload={
                "Parts": [{"PartNumber": one, "ETag": kept[one]["ETag"]} for one, _ in wanted]
            },
        )

    def abort_multipart_upload(
        self, local_file: str, upload_id: str, artifact_path: str | None = None
    ) -> None:
        """Delete the parts of an upload."""
        bucket, key = self._upload_place(local_file, artifact_path)
        if upload_id == WHOLE:
            return
        self._call("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload_id)

    def get_download_presigned_url(
        self, artifact_path: str, expiration: int = 300
    ) -> PresignedDownloadUrlResponse:
        """Sign an address from which a file is fetched; a browser saves it, and does not show it.

        Parameters
        ----------
        artifact_path
            The file.
        expiration
            How many seconds the client wishes; the setting is the upper limit.

        Raises
        ------
        MlflowException
            If there is no such file, or S3 refuses.
        """
        bucket, key = self._place(artifact_path)
        _check_path(artifact_path)
        found = self.describe(artifact_path)
        disposition = handlers._content_disposition_attachment(posixpath.basename(key))  # noqa: SLF001  as MLflow's own routes
        url = self._signer(bucket).sign(
            "GET",
            key,
            self._seconds(expiration),
            {"response-content-disposition": disposition, **self._owner_query},
        )
        return PresignedDownloadUrlResponse(
            url=url, headers={}, file_size=found.get("ContentLength")
        )

    def create_presigned_upload_url(
        self, artifact_path: str, expiration: int = 900
    ) -> CreatePresignedUploadResponse:
        """Sign an address to which a file is sent as a whole.

        The header field `X-Mlflow-Artifact-Size` of the client's request states the size in bytes,
        which is then part of the signature. Without it, S3's own limit for one request holds, so
        the field is required if the setting is smaller than that.

        Raises
        ------
        MlflowException
            If the path or the size is not valid, or if the size exceeds the limit.
        """
        bucket, key = self._place(artifact_path)
        _check_path(artifact_path)
        kind, _ = guess_type(artifact_path)
        headers = {"Content-Type": kind or "application/octet-stream"}
        stated = flask_request.headers.get(SIZE_FIELD, "")
        limit = min(self.presigned.max_bytes, MOST_PUT_BYTES)
        if stated:
            if not re.fullmatch(r"\d{1,15}", stated, re.ASCII):
                raise _invalid(f"{SIZE_FIELD}: {stated!r} is not a valid number of bytes.")
            if int(stated) > limit:
                raise self._too_large(f"{stated} bytes")
            headers["Content-Length"] = stated
        elif limit < MOST_PUT_BYTES:
            raise _invalid(
                f"{SIZE_FIELD}: the size of the file in bytes is required, because uploads to this"
                f" server are limited to {self.presigned.max_bytes} bytes. Send it as a header"
                " field, or upload the file in parts."
            )
        url = self._signer(bucket).sign(
            "PUT", key, self._seconds(expiration), self._owner_query, headers
        )
        return CreatePresignedUploadResponse(presigned_url=url, headers=headers)

    def _upload_place(self, local_file: str, artifact_path: str | None) -> tuple[str, str]:
        name = posixpath.basename(local_file)
        if INVALID_NAME.fullmatch(name):
            raise _invalid(f"path: {local_file!r} is not a valid path of a file: it has no name.")
        _check_path(artifact_path or "")
        return self._place(posixpath.join(artifact_path or "", name))

    def _parts(self, where: dict[str, str]) -> Iterator[dict[str, Any]]:
        following: dict[str, Any] = {}
        while True:
            page = self._call("list_parts", **where, **following)
            yield from page.get("Parts", [])
            if not page.get("IsTruncated"):
                return
            following = {"PartNumberMarker": page["NextPartNumberMarker"]}

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Ask S3; errors of the client's get a status of their own."""
        try:
            found: dict[str, Any] = getattr(self._client, operation)(**arguments, **self._owner)
        except (ClientError, BotoCoreError) as error:
            said = getattr(error, "response", {}).get("Error", {})
            code = CLIENT_ERRORS.get(said.get("Code"), INTERNAL_ERROR)
            raise MlflowException(str(error), error_code=code) from error
        return found

    def _signer(self, bucket: str) -> Signer:
        return signer_of(bucket, MLFLOW_S3_ENDPOINT_URL.get())

    @property
    def _owner_query(self) -> dict[str, str]:
        owner = self._owner.get("ExpectedBucketOwner")
        return {"x-amz-expected-bucket-owner": owner} if owner else {}

    def _seconds(self, wished: int) -> int:
        if wished < 1:
            raise _invalid(f"expiration: {wished} is not a valid number of seconds.")
        return min(wished, self.presigned.seconds)

    def _too_large(self, size: str) -> MlflowException:
        return _invalid(
            f"size: {size} is not a valid size of an artifact: the limit of this server is"
            f" {self.presigned.max_bytes} bytes. An administrator can raise"
            " mlflow_artifacts_presigned_max_size."
        )


class PresignedOnlyS3ArtifactRepository(PresignedS3ArtifactRepository):
    """The same for a server that passes on no artifacts; its pages show small ones."""

    preview_bytes = INTERFACE_UPLOAD_BYTES
    preview_refusal = PREVIEW_CURE


class RefuseStreams:
    """A middleware behind MLflow's login: no bytes of artifacts from and to clients.

    The body of an empty upload has no bytes, and MLflow's client does not send empty files in
    parts. So it passes.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Take requests that MLflow has let pass."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        refusal = REFUSALS.get(scope["method"]) if is_streamed(scope) else None
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["method"] == "PUT" and await skip_body(receive) == 0:
            await self._app(scope, end_of_body, send)
        else:
            await refuse(refusal)(scope, receive, send)


def is_streamed(scope: Scope) -> bool:
    """Say whether a request is for an artifact's bytes."""
    return scope["type"] == "http" and STREAMED_PATHS.fullmatch(scope["path"]) is not None


async def skip_body(receive: Receive) -> int:
    """Return how many bytes a body has, up to a limit; they are kept nowhere.

    A client that is still sending when the proxy closes its connection does not read the answer. It
    would send the file again and again, and never show the cure.
    """
    size = 0
    while size <= MOST_SKIPPED_BYTES:
        message = await receive()
        if message["type"] != "http.request":
            break
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            return size
    return max(size, 1)


async def end_of_body() -> Message:
    """Return what an application receives of an empty body."""
    return {"type": "http.request", "body": b"", "more_body": False}


def refuse(message: str) -> Response:
    """Return an answer of MLflow's form."""
    error = MlflowException(message, error_code=PERMISSION_DENIED)
    return Response(error.serialize_as_json(), HTTPStatus.FORBIDDEN, media_type="application/json")


def apply(server: Server) -> None:
    """Offer presigned transfers, and in mode `only` refuse all others."""
    presigned = read_presigned()
    if presigned.mode is Mode.OFF:
        return
    only = presigned.mode is Mode.ONLY
    repository = PresignedOnlyS3ArtifactRepository if only else PresignedS3ArtifactRepository
    repository.presigned = presigned
    _artifact_repository_registry.register("s3", repository)
    if only:
        # The last is the innermost: the login is before it.
        server.application.user_middleware.append(Middleware(RefuseStreams))


def _check_path(path: str) -> None:
    if INVALID_PATH.fullmatch(path):
        raise _invalid(f"path: {path!r} is not a valid path of an artifact.")


def _invalid(message: str) -> MlflowException:
    return MlflowException(message, error_code=INVALID_PARAMETER_VALUE)
