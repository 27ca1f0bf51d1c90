"""Code and layers of functions, unpacked once for each content."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

UNPACKED_BYTES = 262144000


class CodeError(Exception):
    """A zip that Lambda would refuse."""


def check(archive: bytes) -> None:
    """Raise CodeError unless `archive` is a zip that Lambda takes."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            size = sum(member.file_size for member in opened.infolist())
    except zipfile.BadZipFile:
        raise CodeError(
            "Could not unzip uploaded file. Please check your file, then try to upload again."
        ) from None
    if size > UNPACKED_BYTES:
        raise CodeError(f"Unzipped size must be smaller than {UNPACKED_BYTES} bytes")


def unpack(folder: Path, archives: Sequence[bytes]) -> Path:
    """Return the folder inside `folder` with the content of `archives`, one laid over the other."""
    name = hashlib.sha256(
        b"".join(hashlib.sha256(archive).digest() for archive in archives)
    ).hexdigest()
    target = folder / name
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder))
    for archive in archives:
        _extract(archive, scratch)
    scratch.chmod(0o755)
    try:
        scratch.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        # Another invocation was faster.
        shutil.rmtree(scratch)
    return target


def _extract(archive: bytes, target: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        for member in opened.infolist():
            path = Path(opened.extract(member, target))
            mode = member.external_attr >> 16 & 0o777
            if member.is_dir():
                path.chmod(0o755)
            elif mode:
                # As on AWS, a file that only its owner may read cannot be read by the function.
                path.chmod(mode)
            else:
                path.chmod(0o644)
        for folder, _, _ in os.walk(target):
            Path(folder).chmod(0o755)
