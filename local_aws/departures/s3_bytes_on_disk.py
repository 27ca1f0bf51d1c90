"""The bytes of S3 objects lie on disk, in files of the data folder.

moto keeps objects below 5 MB in memory, and larger ones in temporary files that stay open as long
as the object exists: a bucket with many artifacts exhausts memory and then the file descriptors.
Here each version of an object, and each part of an upload, is one file that is open only while it
is read or written, and that goes when moto lets go of the object.
"""

from __future__ import annotations

import threading
import types
import uuid
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

import moto.s3.models as moto_s3

from local_aws.patching import replace

if TYPE_CHECKING:
    from pathlib import Path

    from local_aws.settings import Settings


class ObjectFile:
    """The few methods of a file that moto uses, on a path instead of an open descriptor."""

    def __init__(self, path: Path) -> None:
        """Make an empty file."""
        path.touch(mode=0o600)
        self._content: _Content | None = _Content(path)
        self._position = 0

    def __deepcopy__(self, memo: object) -> ObjectFile:
        """Return itself: `share` has made it for the copy."""
        return self

    def share(self) -> ObjectFile:
        """Return another file with the same content; the content goes with the last of them."""
        other = ObjectFile.__new__(ObjectFile)
        other._content = self._content  # noqa: SLF001 - its own class
        other._position = 0  # noqa: SLF001 - as above
        if self._content is not None:
            self._content.users += 1
        return other

    def seek(self, position: int) -> None:
        """Go to `position`, in bytes from the beginning."""
        self._position = position

    def read(self, size: int = -1) -> bytes:
        """Read `size` bytes, or all that are left."""
        with self._open("rb") as file:
            file.seek(self._position)
            content = file.read(size)
        self._position += len(content)
        return content

    def write(self, content: bytes) -> None:
        """Write at the position."""
        with self._open("r+b") as file:
            file.seek(self._position)
            file.write(content)
        self._position += len(content)

    def truncate(self) -> None:
        """Cut the file off at the position."""
        with self._open("r+b") as file:
            file.truncate(self._position)

    def close(self) -> None:
        """Let go of the content."""
        content, self._content = self._content, None
        if content is not None:
            content.users -= 1
            if content.users == 0:
                content.path.unlink(missing_ok=True)

    def _open(self, mode: str) -> IO[bytes]:
        if self._content is None:
            raise ValueError("I/O operation on closed file.")
        return cast("IO[bytes]", self._content.path.open(mode))


@dataclass
class _Content:
    path: Path
    users: int = 1


def apply(settings: Settings) -> None:
    """Give moto's objects such files."""
    settings.s3_dir.mkdir(mode=0o700, parents=True, exist_ok=True)

    def create(*_arguments: object, **_options: object) -> ObjectFile:
        return ObjectFile(settings.s3_dir / uuid.uuid4().hex)

    # The module's only use of tempfile is this class.
    replace(moto_s3, "tempfile", types.SimpleNamespace(SpooledTemporaryFile=create))
    # moto copies objects when it lists them, each with all its bytes.
    replace(moto_s3.FakeKey, "__getstate__", _state_of)
    replace(moto_s3.FakeKey, "__setstate__", _set_state)


def _state_of(key: Any) -> dict[str, Any]:
    state = {name: value for name, value in vars(key).items() if name != "lock"}
    return state | {"_value_buffer": key._value_buffer.share()}  # noqa: SLF001 - moto shows no other


def _set_state(key: Any, state: dict[str, Any]) -> None:
    vars(key).update(state)
    key.lock = threading.Lock()
