"""An upload in parts belongs to one object.

moto finds an upload by its id alone, so its parts can become another object than the one that it
was begun for, and a request for one that does not exist fails with 500. S3 answers both with 404
NoSuchUpload: https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html and
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html.

Presigned addresses need this: they allow one part of one object, and no other.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import S3Backend
from moto.s3.responses import S3Response

from local_aws.patching import replace

if TYPE_CHECKING:
    from local_aws.settings import Settings

# The key of an object that is about to be completed.
_KEY: ContextVar[str | None] = ContextVar("key", default=None)


def apply(settings: Settings) -> None:
    """Compare the object of a request with that of the upload."""
    del settings
    for name in ("upload_part", "upload_part_copy", "list_parts", "abort_multipart_upload"):
        _guard(name)
    _guard_completion()


def _guard(name: str) -> None:
    def answer(self: Any) -> Any:
        _check(self.backend, self.bucket_name, self._get_param("uploadId"), self.parse_key_name())
        return answer_any(self)

    answer_any = replace(S3Response, name, answer)


def _guard_completion() -> None:
    def post(self: Any, *arguments: Any) -> Any:
        token = _KEY.set(self.parse_key_name())
        try:
            return post_any(self, *arguments)
        finally:
            _KEY.reset(token)

    def complete(self: Any, bucket_name: str, multipart_id: str, body: Any) -> Any:
        _check(self, bucket_name, multipart_id, _KEY.get())
        return complete_any(self, bucket_name, multipart_id, body)

    post_any = replace(S3Response, "_key_response_post", post)
    complete_any = replace(S3Backend, "complete_multipart_upload", complete)


def _check(backend: Any, bucket: str, upload: str, key: str | None) -> None:
    found = backend.get_bucket(bucket).multiparts.get(upload)
    if found is None or key not in (None, found.key_name):
        raise NoSuchUpload(upload)
