"""Of several conditional writes of one object at a time, S3 lets one succeed.

moto compares the condition (If-Match, If-None-Match) and writes the object in two steps, between
which another request can write the same object: several clients create it, and each gets the answer
that it succeeded. S3 answers all but one with 412 Precondition Failed or 409 Conflict:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html. Here writes of one
object follow each other, so that the condition of each sees the one before.

The lock of a deployment needs this.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from moto.s3.responses import S3Response

from local_aws.patching import replace

if TYPE_CHECKING:
    from local_aws.settings import Settings

# Objects share them, so that their number does not grow.
_LOCKS = tuple(threading.Lock() for _ in range(64))


def apply(settings: Settings) -> None:
    """Let writes of one object follow each other."""
    del settings

    def put_object(self: Any) -> Any:
        with _LOCKS[hash((self.bucket_name, self.parse_key_name())) % len(_LOCKS)]:
            return put_object_at_any_time(self)

    put_object_at_any_time = replace(S3Response, "put_object", put_object)
