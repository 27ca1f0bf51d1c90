"""The bytes of forms, which are signed and which nobody has any more once a form is parsed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

    from flask import Request

_KEPT = "local_aws.form"


def keep(environ: WSGIEnvironment) -> None:
    """Keep the body of a request that is a form."""
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        content = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ[_KEPT] = content
        environ["wsgi.input"] = io.BytesIO(content)


def body(request: Request) -> bytes:
    """Return the body of a request as it came."""
    kept: bytes | None = request.environ.get(_KEPT)
    return request.get_data() if kept is None else kept
