"""Settings of presigned transfers: clients exchange artifacts with S3, past this host."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum

# Off if it is not set.
MODE = "MLFLOW_HOST_PRESIGNED"
SECONDS = "MLFLOW_HOST_PRESIGNED_SECONDS"
UPLOAD_SECONDS = "MLFLOW_HOST_PRESIGNED_UPLOAD_SECONDS"
MAX_BYTES = "MLFLOW_HOST_PRESIGNED_MAX_BYTES"


class Mode(Enum):
    """Whether the server signs addresses of S3."""

    OFF = "off"
    ON = "on"
    ONLY = "only"


@dataclass(frozen=True)
class Presigned:
    """What the operator allows.

    Attributes
    ----------
    mode
        `ONLY` also refuses artifacts that would pass through the server.
    seconds
        How long the address of a whole file is valid.
    upload_seconds
        How long the addresses of an upload in parts are valid.
    max_bytes
        The largest artifact.
    """

    mode: Mode
    seconds: int
    upload_seconds: int
    max_bytes: int


def read_presigned() -> Presigned:
    """Return the settings of the environment."""
    return Presigned(
        Mode(os.environ.get(MODE, Mode.OFF.value)),
        int(os.environ.get(SECONDS, "300")),
        int(os.environ.get(UPLOAD_SECONDS, "900")),
        int(os.environ.get(MAX_BYTES, str(50 << 30))),
    )


def is_on() -> bool:
    """Say whether the server signs addresses."""
    return read_presigned().mode is not Mode.OFF
