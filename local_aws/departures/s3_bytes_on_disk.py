"""The bytes of S3 objects lie on disk, in files of the data folder.

moto keeps objects below 5 MB in memory, and larger ones in temporary files that stay open as long
as the object exists: a bucket with many artifacts exhausts memory and then the file descriptors.
Here each version of an object, and each part of an upload, is one file that is open only while it
is read or written, and that goes when moto lets go of the object.
"""

from __future__ import annotations

import types
import uuid
from typing import TYPE_CHECKING

import moto.s3.models as moto_s3

from local_aws.patching import replace

if TYPE_CHECKING:
    from pathlib import Path

    from local_aws.settings import Settings


class ObjectFile:
    """The few methods of a file that moto uses, on a path instead of an open descriptor."""

    def __init__(self, path: Path) -> None:
        """Make an empty file."""
        self._path = path
        self._position = 0
        self._path.touch(mode=0o600)

    def seek(self, position: int) -> None:
        """Go to `position`, in bytes from the beginning."""
        self._position = position

    def read(self, size: int = -1) -> bytes:
        """Read `size` bytes, or all that are left."""
        with self._path.open("rb") as file:
            file.seek(self._position)
            content = file.read(size)
        self._position += len(content)
        return content

    def write(self, content: bytes) -> None:
        """Write at the position."""
        with self._path.open("r+b") as file:
            file.seek(self._position)
            file.write(content)
        self._position += len(content)

    def truncate(self) -> None:
        """Cut the file off at the position."""
        with self._path.open("r+b") as file:
            file.truncate(self._position)

    def close(self) -> None:
        """Delete the file."""
        self._path.unlink(missing_ok=True)


def apply(settings: Settings) -> None:
    """Give moto's objects such files."""
    settings.s3_dir.mkdir(mode=0o700, parents=True, exist_ok=True)

    def create(*_arguments: object, **_options: object) -> ObjectFile:
        return ObjectFile(settings.s3_dir / uuid.uuid4().hex)

    # The module's only use of tempfile is this class.
    replace(moto_s3, "tempfile", types.SimpleNamespace(SpooledTemporaryFile=create))
