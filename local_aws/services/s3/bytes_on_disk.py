"""The bytes of S3 objects are on disk, in files of the data folder.

moto keeps objects below 5 MB in memory, and larger ones in temporary files that stay open as long
as the object exists: a bucket with many artifacts exhausts memory and then the file descriptors.
Here each version of an object, and each part of an upload, is one file that is open only while it
is read or written, and that goes when moto lets go of the object. GetObject reads no more of it
than was asked for (moto reads all for each range), and sends it piece by piece. The parts of an
upload are joined in a file as well (moto holds them three times in memory).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import types
import uuid
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import moto.s3.models as moto_s3
from moto.s3.responses import S3Response

from local_aws.patching import replace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_aws.settings import Settings


PIECE_BYTES = 1 << 20
# Set while parts are looked at without their content.
_UNREAD: ContextVar[bool] = ContextVar("unread", default=False)
# Set while an object is read for its content to be sent.
_SLICES: ContextVar[bool] = ContextVar("slices", default=False)


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

    def write(self, content: bytes | Slices) -> None:
        """Write at the position."""
        with self._open("r+b") as file:
            file.seek(self._position)
            for piece in [content] if isinstance(content, bytes) else content:
                file.write(piece)
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

    def slices(self) -> Slices:
        """Return the content, to be read in parts."""
        if self._content is None:
            raise ValueError("I/O operation on closed file.")
        return Slices(self._content.path)

    def _open(self, mode: str) -> IO[bytes]:
        if self._content is None:
            raise ValueError("I/O operation on closed file.")
        return cast("IO[bytes]", self._content.path.open(mode))


class Slices:
    """The content of a file, read when it is sliced or iterated over; stands for bytes."""

    def __init__(self, path: Path) -> None:
        """Open the file: it can be read on when the object is deleted meanwhile."""
        self._file = path.open("rb")
        self._size = os.fstat(self._file.fileno()).st_size

    def __len__(self) -> int:
        """Return the size in bytes."""
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        """Read a part."""
        start, stop, _ = part.indices(self._size)
        self._file.seek(start)
        return self._file.read(max(0, stop - start))

    def __iter__(self) -> Iterator[bytes]:
        """Read it piece by piece."""
        self._file.seek(0)
        while piece := self._file.read(PIECE_BYTES):
            yield piece


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
    replace(moto_s3.FakeKey, "etag", property(_etag_of))
    _patch_reading()
    _patch_joining(settings)


def _patch_joining(settings: Settings) -> None:
    complete = moto_s3.FakeMultipart.complete

    def join(self: Any, body: Iterator[tuple[int, str]]) -> tuple[Slices, str, Any]:
        wanted = list(body)
        token = _UNREAD.set(True)
        try:
            # moto checks the parts and names the whole; both need no bytes.
            _, etag, _ = complete(self, iter(wanted))
        finally:
            _UNREAD.reset(token)
        checksum = moto_s3.MultipartChecksumBuilder(
            self.metadata.get("x-amz-checksum-algorithm"),
            self.metadata.get("x-amz-checksum-type"),
        )
        # A checksum of the whole would need it in memory; without one, clients compare nothing.
        composite = checksum.checksum_type == "COMPOSITE"
        with tempfile.NamedTemporaryFile(dir=settings.s3_dir) as file:
            for number, _ in wanted:
                part = self.parts[number].value
                file.write(part)
                if composite:
                    checksum.addPart(part)
            file.flush()
            return Slices(Path(file.name)), etag, checksum.build() if composite else None

    replace(moto_s3.FakeMultipart, "complete", join)


def _patch_reading() -> None:
    get_object = S3Response.get_object
    value: Any = moto_s3.FakeKey.value

    def read(key: Any) -> Any:
        if _UNREAD.get():
            return b""
        return key._value_buffer.slices() if _SLICES.get() else value.fget(key)  # noqa: SLF001 - as above

    def get_slices(self: S3Response) -> Any:
        token = _SLICES.set(True)
        try:
            return get_object(self)
        finally:
            _SLICES.reset(token)

    replace(moto_s3.FakeKey, "value", property(read, value.fset))
    replace(S3Response, "get_object", get_slices)


def _etag_of(key: Any) -> str:
    """Return what moto returns, but read it apart from all others.

    moto reads it when it is first asked for, at the position of the object's one file. A listing
    at that moment reads there too, and each gets the MD5 of a part.
    """
    if key._etag is None:  # noqa: SLF001 - moto has no other place
        digest = hashlib.md5(usedforsecurity=False)
        for piece in key._value_buffer.slices():  # noqa: SLF001 - as above
            digest.update(piece)
        key._etag = digest.hexdigest()  # noqa: SLF001 - as above
    return f'"{key._etag}"'  # noqa: SLF001 - as above


def _state_of(key: Any) -> dict[str, Any]:
    state = {name: value for name, value in vars(key).items() if name != "lock"}
    return state | {"_value_buffer": key._value_buffer.share()}  # noqa: SLF001 - moto shows no other


def _set_state(key: Any, state: dict[str, Any]) -> None:
    vars(key).update(state)
    key.lock = threading.Lock()
